"""CreateRun, decided: which task, which inputs, and whether it is an image build or a container."""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.task_definition_pb2 import TaskIdentifier, TaskSpec
from google.protobuf.message import DecodeError

from flyte_build.builder.sources import wire
from flyte_build.registry.errors import InvalidInput, ServiceTooLarge
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds.platforms import platforms_of
from flyte_build.worker.builds.request import MAX_SPEC
from flyte_build.worker.builds.task import build_inputs, build_task_spec, is_build_task
from flyte_build.worker.builds.values import NewBuild
from flyte_build.worker.endpoint.failures import not_found, unimplemented
from flyte_build.worker.endpoint.inputs import MAX_INPUTS, inputs_key, offloaded_key
from flyte_build.worker.runs.launch import container_of
from flyte_build.worker.runs.objects import objects_of
from flyte_build.worker.runs.resources import cpus_of, memory_of
from flyte_build.worker.runs.values import ActionName, Kind, NewAction
from flyte_build.worker.stores.keys import key_of_native
from flyte_build.worker.stores.store import MAX_JOINED

if TYPE_CHECKING:
    from flyteidl2.common.identifier_pb2 import RunIdentifier
    from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

    from flyte_build.worker.access.policy import Policy
    from flyte_build.worker.endpoint.parts import Parts
    from flyte_build.worker.endpoint.tasks import Tasks
    from flyte_build.worker.runs.values import Action
    from flyte_build.worker.stores.keys import ObjectKey

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Begins runs. `request_id` is the client's: the same request sent again begins nothing new."""

    parts: Parts
    tasks: Tasks

    def create(self, request: CreateRunRequest, request_id: str) -> Action:
        """The run that this request began, now or when it was sent before."""
        key = _request_key(request, request_id)
        before = self.parts.actions.by_request(key) if key else None
        if before is not None:
            return before
        org, name = self._name(request)
        if self.parts.actions.get(name) is not None:
            raise ConnectError(Code.ALREADY_EXISTS, f"there is a run {name.run} in {name.project}/{name.domain}")
        spec = self._task(request, org)
        identifier = spec.task_template.id
        builds = self.tasks.builds(identifier)
        inputs, inputs_object = self._inputs(request, name)
        new = NewAction(
            org=org,
            name=name,
            kind=Kind.BUILD if builds else Kind.CONTAINER,
            # A client sends the build task back by value; what it may have changed in it is not even kept.
            task=(build_task_spec(org) if builds else spec).SerializeToString(),
            run_spec=request.run_spec.SerializeToString(),
            inputs_object=str(inputs_object),
            request_key=key,
        )
        return self._build(request, new, inputs) if builds else self._container(new, spec, inputs)

    def _container(self, new: NewAction, spec: TaskSpec, inputs: Inputs) -> Action:
        container = container_of(spec)
        # Everything that can be refused is refused now, to the caller, and not later in a log.
        objects_of(tuple(container.args), inputs, new.name)
        memory_of(container.resources)
        cpus_of(container.resources, 1)
        action = self.parts.actions.create(new)
        self.parts.executor.submit(action)
        return action

    def _build(self, request: CreateRunRequest, new: NewAction, inputs: Inputs) -> Action:
        asked = build_inputs(inputs)
        # Refused now, to the caller; the worker looks again, because it is who pushes.
        policy = self.parts.policies.of(new.name.project, new.name.domain)
        repository_of(asked["target_image"], policy)
        spec = key_of_native(asked["spec"], new.name.project, new.name.domain)
        data = self.parts.store.read(spec, MAX_SPEC)
        context = key_of_native(asked["context"], new.name.project, new.name.domain) if asked["context"] else None
        wanted = NewBuild(
            project=new.name.project,
            domain=new.name.domain,
            target=asked["target_image"],
            spec_object=str(spec),
            spec_sha256=hashlib.sha256(data).hexdigest(),
            context_object=str(context or ""),
            context_sha256=self._context_digest(context, policy) if context else "",
            force=request.run_spec.cache_config.overwrite_cache or request.run_spec.overwrite_cache,
            platforms=platforms_of(data, self.parts.platforms),
            timeout=policy.limits.build_seconds,
            most_queued=policy.limits.queued,
            most_running=policy.limits.running,
            trace=self.parts.operating.traces.current(),
            guarded=self.parts.policies.guarded,
        )
        answer = self.parts.existing.of_spec(wanted, policy)
        if answer is not None:
            return self.parts.answered(answer, new)
        self.parts.require_secrets(wanted.project, wire.secrets(data))
        action, build = self.parts.builds.submit(wanted, new)
        _log.info("run %s waits for build %s of %s", new.name, build.id, build.target)
        self.parts.doorbell.ring(build.id)
        return action

    def _context_digest(self, context: ObjectKey, policy: Policy) -> str:
        most = policy.limits.context_bytes
        try:
            return self.parts.store.sha256(context, most or MAX_JOINED)
        except ServiceTooLarge as error:
            if not most:
                raise
            raise policy.too_large("more") from error

    def _name(self, request: CreateRunRequest) -> tuple[str, ActionName]:
        if request.WhichOneof("id") == "run_id":
            asked: RunIdentifier = request.run_id
            run = asked.name or f"r{secrets.token_hex(9)}"
            return asked.org, ActionName.parse(f"{asked.project}/{asked.domain}/{run}/a0")
        project = request.project_id
        run = f"r{secrets.token_hex(9)}"
        return project.organization, ActionName.parse(f"{project.name}/{project.domain}/{run}/a0")

    def _task(self, request: CreateRunRequest, org: str) -> TaskSpec:
        kind = request.WhichOneof("task")
        if kind == "task_spec":
            return self._sent(request.task_spec)
        if kind != "task_id":
            raise unimplemented("start runs by trigger, only by task")
        identifier = request.task_id
        if self.tasks.builds(identifier):
            return build_task_spec(org)
        return self._deployed(identifier)

    def _sent(self, spec: TaskSpec) -> TaskSpec:
        """A task that came by value; of a build task that is registered here only its version counts."""
        sent = spec.task_template.id
        if self.tasks.builds(sent) or not is_build_task(sent.project, sent.domain, sent.name):
            return spec
        name = TaskIdentifier(project=sent.project, domain=sent.domain, name=sent.name, version=sent.version)
        return self._deployed(name)

    def _deployed(self, identifier: TaskIdentifier) -> TaskSpec:
        found = self.tasks.get(identifier)
        if found is None:
            raise not_found(f"task {identifier.project}/{identifier.domain}/{identifier.name}@{identifier.version}")
        return found.spec

    def _inputs(self, request: CreateRunRequest, name: ActionName) -> tuple[Inputs, ObjectKey]:
        if request.WhichOneof("input_wrapper") == "offloaded_input_data":
            key = offloaded_key(request.offloaded_input_data.uri, name.project, name.domain)
            try:
                return Inputs.FromString(self.parts.store.read(key, MAX_INPUTS)), key
            except DecodeError as error:
                raise InvalidInput(f"{request.offloaded_input_data.uri[:200]!r} does not hold inputs") from error
        data = request.inputs.SerializeToString(deterministic=True)
        key = inputs_key(data, name.project, name.domain)
        self.parts.store.write(key, data)
        return request.inputs, key


def _request_key(request: CreateRunRequest, request_id: str) -> str | None:
    # From inside a task the id ends in four random characters only, so the request itself belongs to the key.
    if not request_id:
        return None
    body = request.SerializeToString(deterministic=True)
    return hashlib.sha256(len(request_id).to_bytes(4, "big") + request_id.encode() + body).hexdigest()
