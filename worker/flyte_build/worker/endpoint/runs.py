"""RunService: begin runs, watch them, stop them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.task.run_pb2 import RunSpec
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow import run_definition_pb2, run_service_pb2
from flyteidl2.workflow.run_service_connect import RunService

from flyte_build.registry.errors import ServiceUnavailable
from flyte_build.worker.builds.task import is_build_task
from flyte_build.worker.endpoint.callers import caller
from flyte_build.worker.endpoint.failures import not_found
from flyte_build.worker.endpoint.wire import details_of, name_of, run_name, run_of
from flyte_build.worker.runs.phases import Phase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flyte_build.worker.endpoint.creation import Creation
    from flyte_build.worker.endpoint.failures import Context
    from flyte_build.worker.endpoint.parts import Parts
    from flyte_build.worker.runs.values import Action, ActionName

_LOOK_SECONDS = 1.0
# Said again after this long though nothing changed: only by writing does a server learn that nobody reads any more.
_REPEAT_SECONDS = 15.0
_MAX_REASON = 1000
# Whoever begins to watch so long after a build failed asked for it and was slow; later ones only look at what was.
_FRESH_SECONDS = 30.0
_MOST_TOLD = 1000


class RunRpc(RunService):  # type: ignore[misc]
    """The RPCs of runs and their actions."""

    def __init__(self, parts: Parts, creation: Creation) -> None:
        self._parts = parts
        self._creation = creation
        self._failures = _Failures()

    async def create_run(
        self, request: run_service_pb2.CreateRunRequest, ctx: Context
    ) -> run_service_pb2.CreateRunResponse:
        """Begins a run, once per request id. ALREADY_EXISTS when the name that was asked for is taken."""
        request_id = ctx.request_headers().get("x-request-id") or ""
        action = await asyncio.to_thread(self._creation.create, request, request_id[:200])
        return run_service_pb2.CreateRunResponse(run=run_of(action))

    async def get_run_details(
        self, request: run_service_pb2.GetRunDetailsRequest, ctx: Context
    ) -> run_service_pb2.GetRunDetailsResponse:
        """A run with its root action."""
        del ctx
        action, details = await asyncio.to_thread(self._details, run_name(request.run_id))
        return run_service_pb2.GetRunDetailsResponse(
            details=run_definition_pb2.RunDetails(run_spec=RunSpec.FromString(action.run_spec), action=details)
        )

    async def get_action_details(
        self, request: run_service_pb2.GetActionDetailsRequest, ctx: Context
    ) -> run_service_pb2.GetActionDetailsResponse:
        """One action."""
        del ctx
        _, details = await asyncio.to_thread(self._details, name_of(request.action_id))
        return run_service_pb2.GetActionDetailsResponse(details=details)

    async def watch_action_details(
        self, request: run_service_pb2.WatchActionDetailsRequest, ctx: Context
    ) -> AsyncIterator[run_service_pb2.WatchActionDetailsResponse]:
        """The action now and whenever its phase changes, until it ends. Ends early when this service stops.

        A failed build is told in two steps. The SDK prints nothing but the run's URL for it, but when a watch is cut
        short it prints why, as a warning, and watches again; so the reason comes as such a cut, then the phase.
        """
        del ctx
        name, said, said_at = name_of(request.action_id), 0, 0.0
        with self._parts.bell.listen(str(name)) as listener:
            while not self._parts.stopping.is_set():
                try:
                    action, details = await asyncio.to_thread(self._details, name)
                except ServiceUnavailable:
                    # Who watches already need not know that the database is away for a moment.
                    if not said:
                        raise
                    await listener.wait(_LOOK_SECONDS)
                    continue
                if self._failures.must_tell(action, watched=said > 0, now=self._parts.clock()):
                    raise ConnectError(Code.CANCELED, f"the image was not built:\n{action.error}\n")
                if action.phase != said or time.monotonic() - said_at > _REPEAT_SECONDS:
                    said, said_at = action.phase, time.monotonic()
                    yield run_service_pb2.WatchActionDetailsResponse(details=details)
                if Phase(action.phase).terminal:
                    return
                await listener.wait(_LOOK_SECONDS)

    async def abort_run(
        self, request: run_service_pb2.AbortRunRequest, ctx: Context
    ) -> run_service_pb2.AbortRunResponse:
        """Stops a run; nothing when it has ended."""
        del ctx
        await asyncio.to_thread(self._abort, run_name(request.run_id), request.reason)
        return run_service_pb2.AbortRunResponse()

    async def abort_action(
        self, request: run_service_pb2.AbortActionRequest, ctx: Context
    ) -> run_service_pb2.AbortActionResponse:
        """Stops an action; nothing when it has ended."""
        del ctx
        await asyncio.to_thread(self._abort, name_of(request.action_id), request.reason)
        return run_service_pb2.AbortActionResponse()

    async def list_runs(
        self, request: run_service_pb2.ListRunsRequest, ctx: Context
    ) -> run_service_pb2.ListRunsResponse:
        """The newest runs of a project."""
        del ctx
        limit = min(request.request.limit or 100, 1000)
        project = request.project_id
        may = caller().may
        found = await asyncio.to_thread(self._parts.actions.latest, limit, project.name, project.domain, may)
        return run_service_pb2.ListRunsResponse(runs=[run_of(action) for action in found])

    async def list_actions(
        self, request: run_service_pb2.ListActionsRequest, ctx: Context
    ) -> run_service_pb2.ListActionsResponse:
        """The actions of a run: its root, so far."""
        del ctx
        action, _ = await asyncio.to_thread(self._details, run_name(request.run_id))
        return run_service_pb2.ListActionsResponse(actions=[run_of(action).action])

    def _details(self, name: ActionName) -> tuple[Action, run_definition_pb2.ActionDetails]:
        action = self._parts.actions.get(name)
        if action is None:
            raise not_found(f"action {name.action} of a run {name.run} in {name.project}/{name.domain}")
        return action, details_of(action, self._parts.actions.transitions(action))

    def _abort(self, name: ActionName, reason: str) -> None:
        action, _ = self._details(name)
        if not self._parts.actions.abort(action, reason[:_MAX_REASON]):
            return
        if action.build_id:
            self._parts.builds.leave(action.build_id)
        else:
            self._parts.executor.abort(action)


class _Failures:
    """Which failed builds somebody was told of: who comes back after the cut must not be cut again."""

    def __init__(self) -> None:
        self._told: dict[ActionName, None] = {}

    def must_tell(self, action: Action, *, watched: bool, now: float) -> bool:
        """Whether this watch is to be cut with the reason: it saw the build alive, or is the first since it failed."""
        if action.phase != Phase.FAILED or not builds_image(action):
            return False
        fresh = action.ended_at is not None and now - action.ended_at < _FRESH_SECONDS
        if not watched and (not fresh or action.full_name in self._told):
            return False
        self._told[action.full_name] = None
        while len(self._told) > _MOST_TOLD:
            self._told.pop(next(iter(self._told)))
        return True


def builds_image(action: Action) -> bool:
    """Whether it builds an image: by itself, or as the task that somebody registered for it."""
    named = TaskSpec.FromString(action.task).task_template.id
    return action.is_build or is_build_task(named.project, named.domain, named.name)
