"""The `build-image` task as it is registered at an endpoint: a container of ours that asks a build service, or builds.

Flyte's SDK finds it by its name (project `system`, domain `production`), gives it `spec`, `context` and `target_image`,
and reads its first output.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from flyteidl2.core import security_pb2, tasks_pb2
from flyteidl2.task import task_definition_pb2, task_service_pb2

from flyte_build.worker.builds.task import build_task_spec

# What images/docker-bake.hcl and the release call it; the tag is the release.
IMAGE = "ghcr.io/flyte-build/flyte-build/build-image"
_COMMAND = ("flyte-build", "task")
_ARGUMENTS = ("--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the task is to be. It asks `service` (a URL), or builds by itself with the BuildKit at `buildkit`.

    `registry` takes images whose target names none, when it builds by itself. `token_file` and
    `certificates` (of BuildKit: `ca.pem`, `cert.pem`, `key.pem`) are paths in the container.
    """

    image: str
    release: str
    service: str = ""
    buildkit: str = ""
    certificates: str = ""
    registry: str = ""
    token_file: str = ""
    service_account: str = ""
    cpu: str = "500m"
    memory: str = "512Mi"

    def environment(self) -> tuple[tuple[str, str], ...]:
        """What the container's process reads."""
        pairs = (
            ("FLYTE_BUILD_SERVICE", self.service),
            ("BUILDKIT_HOST", self.buildkit),
            ("BUILDKIT_CERTIFICATES", self.certificates),
            ("FLYTE_BUILD_REGISTRY", self.registry),
            ("FLYTE_BUILD_TOKEN_FILE", self.token_file),
        )
        return tuple(pair for pair in pairs if pair[1])


def deploy_request(asked: Registration, org: str) -> task_service_pb2.DeployTaskRequest:
    """The request that registers it. Its version is the release and a digest of all of it: the same is the same."""
    spec = _spec(asked)
    digest = hashlib.sha256(spec.SerializeToString(deterministic=True)).hexdigest()
    identifier = spec.task_template.id
    identifier.version, identifier.org = f"{asked.release}-{digest[:12]}", org
    name = task_definition_pb2.TaskIdentifier(
        org=org,
        project=identifier.project,
        domain=identifier.domain,
        name=identifier.name,
        version=identifier.version,
    )
    return task_service_pb2.DeployTaskRequest(task_id=name, spec=spec)


def _spec(asked: Registration) -> task_definition_pb2.TaskSpec:
    spec = build_task_spec("")
    template = spec.task_template
    template.id.version = ""
    amounts = ((tasks_pb2.Resources.CPU, asked.cpu), (tasks_pb2.Resources.MEMORY, asked.memory))
    entries = [tasks_pb2.Resources.ResourceEntry(name=name, value=value) for name, value in amounts if value]
    template.container.CopyFrom(
        tasks_pb2.Container(
            image=asked.image,
            command=_COMMAND,
            args=_ARGUMENTS,
            env=[{"key": key, "value": value} for key, value in asked.environment()],
            resources=tasks_pb2.Resources(requests=entries, limits=entries),
        )
    )
    template.metadata.runtime.type = tasks_pb2.RuntimeMetadata.FLYTE_SDK
    template.metadata.runtime.version = asked.release
    if asked.service_account:
        identity = security_pb2.Identity(k8s_service_account=asked.service_account)
        template.security_context.run_as.CopyFrom(identity)
    return spec
