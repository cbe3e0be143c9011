"""Makes the place where an action runs: its directories, its inputs, and what is mounted into its container."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec

from flyte_build.worker.runs.launch import (
    ATTEMPT,
    INPUT_ROOT,
    RUN_ROOT,
    Launch,
    Mount,
    Surroundings,
    container_of,
    launch_of,
    placeholders,
    substitute,
)
from flyte_build.worker.runs.objects import objects_of
from flyte_build.worker.stores.keys import NATIVE_ROOT, ObjectKey

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.worker.runs.values import Action
    from flyte_build.worker.stores.store import Store

_MAX_INPUTS = 20 * 2**20


def prepare(action: Action, store: Store, root: Path, *, endpoint: str, labels: tuple[str, ...]) -> Launch:
    """Makes the directories of a run below `root` anew, and decides what its container is.

    Raises ServiceError when an object that it needs is not in the store, ServiceDenied when it is not its own.
    """
    base = action.full_name.under(root)
    data = store.read(ObjectKey.parse(action.inputs_object), _MAX_INPUTS) if action.inputs_object else b""
    work, given = _directories(base, action.name)
    (given / "inputs.pb").write_bytes(data)
    (given / "inputs.pb").chmod(0o644)
    task = TaskSpec.FromString(action.task)
    mounts = (
        Mount(source=work, target=RUN_ROOT, writable=True),
        Mount(source=given, target=INPUT_ROOT),
        *_objects(action, task, Inputs.FromString(data), store),
    )
    around = Surroundings(mounts=mounts, endpoint=endpoint, labels=labels)
    return launch_of(action, task, RunSpec.FromString(action.run_spec), around)


def _directories(base: Path, action: str) -> tuple[Path, Path]:
    work, given = base / "work", base / "input"
    shutil.rmtree(work, ignore_errors=True)
    for directory in (work, work / action, work / action / ATTEMPT, work / "raw"):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)  # the image's user is unknown; the state directory above is closed to everybody else
    given.mkdir(exist_ok=True)
    given.chmod(0o755)
    return work, given


def _objects(action: Action, task: TaskSpec, inputs: Inputs, store: Store) -> tuple[Mount, ...]:
    values = placeholders(action)
    args = tuple(substitute(arg, values) for arg in container_of(task).args)
    keys = objects_of(args, inputs, action.full_name)
    return tuple(Mount(source=store.local_path(key), target=f"{NATIVE_ROOT}/{key}") for key in keys)
