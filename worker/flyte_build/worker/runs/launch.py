"""What is started for an action, decided without touching anything: a task's template becomes a container's argv.

The template's placeholders are Flyte's (`{{.input}}`, `{{.outputPrefix}}`, …); the environment is what the SDK's
container entrypoint reads.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.runs.resources import cpus_of, memory_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flyteidl2.core.tasks_pb2 import Container
    from flyteidl2.task.run_pb2 import RunSpec
    from flyteidl2.task.task_definition_pb2 import TaskSpec

    from flyte_build.worker.runs.values import Action

RUN_ROOT = "/flyte-build/run"
INPUT_ROOT = "/flyte-build/input"
ATTEMPT = "1"
# A name that no resolver is asked for and nobody listens on: a task that starts another one fails soon, and the
# error that it writes says why.
NO_NESTED_TASKS = "this-endpoint-runs-one-task-per-run.localhost"
NESTED_REFUSAL = "this endpoint runs one task per run: call the function itself"
_PLACEHOLDER = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of this machine inside the container."""

    source: Path
    target: str
    writable: bool = False

    def __str__(self) -> str:
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        fields += [] if self.writable else ["readonly"]
        return ",".join(_csv(field) for field in fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One container. `memory` is in bytes, 0 for no limit; `cpus` is a decimal number, empty for no limit."""

    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    mounts: tuple[Mount, ...]
    labels: tuple[str, ...]
    memory: int = 0
    cpus: str = ""
    unreachable: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a container finds around it: mounts, `name=value` labels, where it reaches this service (empty: nowhere)."""

    mounts: tuple[Mount, ...]
    endpoint: str
    labels: tuple[str, ...]


def launch_of(action: Action, task: TaskSpec, run_spec: RunSpec, around: Surroundings) -> Launch:
    """The container of an action.

    Raises InvalidInput for a task that is not a container, or that names no image.
    """
    container = container_of(task)
    values = placeholders(action)
    return Launch(
        image=container.image,
        command=tuple(substitute(part, values) for part in container.command),
        args=tuple(substitute(part, values) for part in container.args),
        env=_environment(action, container, run_spec, around.endpoint),
        mounts=around.mounts,
        labels=around.labels,
        memory=memory_of(container.resources),
        cpus=cpus_of(container.resources, os.cpu_count() or 1),
        unreachable="" if around.endpoint else NO_NESTED_TASKS,
    )


def container_of(task: TaskSpec) -> Container:
    """The container of a task; InvalidInput when it is something else that this endpoint cannot run."""
    template = task.task_template
    if template.WhichOneof("target") != "container" or not template.container.image:
        raise InvalidInput(
            f"the task {template.id.name or 'without a name'} is not a plain container task, and this endpoint runs no "
            f"other",
            hint="remove its pod template or plugin, or run it on a Flyte cluster",
        )
    return template.container


def placeholders(action: Action) -> Mapping[str, str]:
    """What Flyte's placeholders stand for in this action."""
    output = f"{RUN_ROOT}/{action.name}/{ATTEMPT}"
    began = datetime.fromtimestamp(action.created_at, tz=timezone.utc)
    return {
        "input": f"{INPUT_ROOT}/inputs.pb",
        "outputPrefix": output,
        "rawOutputDataPrefix": f"{RUN_ROOT}/raw",
        "checkpointOutputPrefix": f"{output}/_flytecheckpoints",
        "prevCheckpointPrefix": "",
        "runName": action.run,
        "actionName": action.name,
        "runStartTime": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with every placeholder that is known; the entrypoint copes with those that are not."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def docker_create(launch: Launch) -> tuple[str, ...]:
    """The arguments of `docker` that create (not start) this container."""
    argv = ["create", "--pull=missing", "--network=bridge", "--security-opt=no-new-privileges"]
    argv += ["--log-driver=json-file", "--log-opt=max-size=64m", "--log-opt=max-file=1"]
    argv += [f"--label={label}" for label in launch.labels]
    argv += [f"--mount={mount}" for mount in launch.mounts]
    argv += [f"--env={name}={value}" for name, value in launch.env]
    argv += [f"--memory={launch.memory}"] if launch.memory else []
    argv += [f"--cpus={launch.cpus}"] if launch.cpus else []
    argv += [f"--add-host={launch.unreachable}:127.0.0.1"] if launch.unreachable else []
    argv += [f"--entrypoint={launch.command[0]}"] if launch.command else []
    return (*argv, "--", launch.image, *launch.command[1:], *launch.args)


def _environment(action: Action, container: Container, run_spec: RunSpec, endpoint: str) -> tuple[tuple[str, str], ...]:
    asked = {pair.key: pair.value for pair in (*container.env, *run_spec.envs.values)}
    ours = {
        "ACTION_NAME": action.name,
        "RUN_NAME": action.run,
        "FLYTE_INTERNAL_EXECUTION_PROJECT": action.project,
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": action.domain,
        "FLYTE_ATTEMPT_NUMBER": "0",
        "_U_ORG_NAME": action.org or "local",
        "_U_RUN_BASE": RUN_ROOT,
        "_U_USE_ACTIONS": "1",
        "_U_INSECURE": "false" if endpoint.startswith("https://") else "true",
        "_U_EP_OVERRIDE": endpoint or f"http://{NO_NESTED_TASKS}:1",
        # The run's directory is a plain file system here, and the SDK writes below directories that nobody made.
        "FSSPEC_FILE_AUTO_MKDIR": "true",
        # The first answer to a nested call is final: nobody who could give a better one is there.
        "_F_MAX_RETRIES": "0",
    }
    return tuple(sorted({**asked, **ours}.items()))


def _csv(field: str) -> str:
    # `--mount` is one record of RFC 4180.
    return f'"{field.replace(chr(34), chr(34) * 2)}"' if any(mark in field for mark in ',"\n') else field
