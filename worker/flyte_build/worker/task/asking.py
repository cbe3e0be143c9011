"""The task's process asks a build service: what it was given is uploaded there, the log followed, the answer read."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyteidl2.common import identifier_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2 as data_pb2
from flyteidl2.workflow import run_service_pb2

from flyte_build.bundler.answers import EXISTS_HEADER, PARTS_HEADER
from flyte_build.bundler.signed import put_signed
from flyte_build.registry.errors import BuildCancelled, BuildFailed, ServiceError, ServiceUnavailable
from flyte_build.worker.builds.task import build_task_id, string_inputs
from flyte_build.worker.runs.phases import Phase

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyteidl2.common.identifier_pb2 import ActionIdentifier
    from flyteidl2.workflow.run_definition_pb2 import ActionDetails

    from flyte_build.worker.client.connect import Connect

_DATA = "flyteidl2.dataproxy.DataProxyService"
_RUNS = "flyteidl2.workflow.RunService"
# How long a service may be away, and how often it is asked meanwhile, in seconds.
_PATIENCE = 600.0
_PAUSE = 2.0
# What an endpoint of ours tells its own clients, among the headers that belong to the PUT.
_OURS = (EXISTS_HEADER, PARTS_HEADER, "content-length", "content-md5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be built, for whom; `request_id` is the same when this task is tried again."""

    project: str
    domain: str
    target: str
    request_id: str
    spec: Path
    context: Path | None


class Asking:
    """Asks one build service; `say` gets the lines of the log."""

    def __init__(
        self, service: Connect, say: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._service = service
        self._say = say
        self._sleep = sleep

    def build(self, asked: Asked) -> str:
        """The pinned reference. BuildFailed with what the service says; stops the build when it is interrupted."""
        action = self._begin(asked)
        try:
            self._follow(action)
            details = self._end(action)
        except KeyboardInterrupt:
            self._stop(action)
            raise
        if details.status.phase == Phase.SUCCEEDED:
            return self._reference(action)
        if details.status.phase == Phase.ABORTED:
            raise BuildCancelled(details.abort_info.reason or "the build was cancelled")
        raise BuildFailed(details.error_info.message or "the build service says no reason")

    def _begin(self, asked: Asked) -> ActionIdentifier:
        context = self._upload(asked, asked.context, "context.tar.gz") if asked.context else ""
        inputs = string_inputs(
            spec=self._upload(asked, asked.spec, "spec.pb"), context=context, target_image=asked.target
        )
        request = run_service_pb2.CreateRunRequest(
            project_id=identifier_pb2.ProjectIdentifier(name=asked.project, domain=asked.domain),
            task_id=build_task_id(""),
            inputs=inputs,
        )
        answer = self._service.call(
            f"{_RUNS}/CreateRun", request, run_service_pb2.CreateRunResponse, request_id=asked.request_id
        )
        action: ActionIdentifier = answer.run.action.id
        return action

    def _upload(self, asked: Asked, path: Path, name: str) -> str:
        digest, size = hashlib.md5(usedforsecurity=False), path.stat().st_size
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
        request = data_pb2.CreateUploadLocationRequest(
            project=asked.project,
            domain=asked.domain,
            content_md5=digest.digest(),
            content_length=size,
            filename=name,
        )
        place = self._service.call(f"{_DATA}/CreateUploadLocation", request, data_pb2.CreateUploadLocationResponse)
        headers = {name: value for name, value in place.headers.items() if name.lower() not in _OURS}
        put_signed(self._service.wire, place.signed_url, headers, digest.digest(), size, lambda: path.open("rb"))
        return str(place.native_url)

    def _follow(self, action: ActionIdentifier) -> None:
        """The log until it ends. A stream that breaks is begun again, and what was said is not said twice."""
        said, request = 0, data_pb2.TailLogsRequest(action_id=action, attempt=1)
        given_up = time.monotonic() + _PATIENCE
        while True:
            seen = 0
            try:
                for answer in self._service.stream(f"{_DATA}/TailLogs", request, data_pb2.TailLogsResponse):
                    given_up = time.monotonic() + _PATIENCE
                    for line in (line for logs in answer.logs for line in logs.lines):
                        seen += 1
                        if seen > said:
                            said = seen
                            self._say(line.message.rstrip("\n"))
                if self._end_now(action) is not None:
                    return
            except ServiceUnavailable:
                if time.monotonic() > given_up:
                    raise
            self._sleep(_PAUSE)

    def _end(self, action: ActionIdentifier) -> ActionDetails:
        found = self._end_now(action)
        if found is None:
            raise ServiceError("the build service ended the log of a build that goes on")
        return found

    def _end_now(self, action: ActionIdentifier) -> ActionDetails | None:
        request = run_service_pb2.GetActionDetailsRequest(action_id=action)
        answer = self._service.call(f"{_RUNS}/GetActionDetails", request, run_service_pb2.GetActionDetailsResponse)
        details: ActionDetails = answer.details
        return details if Phase(details.status.phase).terminal else None

    def _reference(self, action: ActionIdentifier) -> str:
        request = data_pb2.GetActionDataRequest(action_id=action)
        answer = self._service.call(f"{_DATA}/GetActionData", request, data_pb2.GetActionDataResponse)
        texts = [one.value.scalar.primitive.string_value for one in answer.outputs.literals]
        if not texts or not texts[0]:
            raise ServiceError("the build service says that it built the image, and not which")
        return str(texts[0])

    def _stop(self, action: ActionIdentifier) -> None:
        request = run_service_pb2.AbortRunRequest(run_id=action.run, reason="the task that asked for it was stopped")
        self._service.call(f"{_RUNS}/AbortRun", request, run_service_pb2.AbortRunResponse)
