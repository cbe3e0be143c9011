"""What people open in a browser, and what machines ask to know whether this service is well."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from flyte_build.builder.engine import StepEnded
from flyte_build.registry.errors import FlyteBuildError, InvalidName
from flyte_build.worker.builds.listing import targets
from flyte_build.worker.builds.task import is_build_task
from flyte_build.worker.endpoint import html
from flyte_build.worker.endpoint.callers import caller
from flyte_build.worker.endpoint.tasks import BUILT_IN, Tasks
from flyte_build.worker.operating.metrics import CONTENT_TYPE
from flyte_build.worker.operating.readiness import Readiness
from flyte_build.worker.runs.values import ActionName
from flyte_build.worker.stores.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from flyte_build.worker.endpoint.parts import Parts
    from flyte_build.worker.endpoint.tasks import Deployed
    from flyte_build.worker.runs.values import Action
    from flyte_build.worker.stores.logs import LogView

_SHOWN_RUNS = 100
_SHOWN_LOG = 200_000
_SHOWN_INPUTS = 1 << 20
_SHOWN_PORTIONS = 64
_SHOWN_VERSIONS = 50
_RUN = "/v2/domain/{domain}/project/{project}/runs/{run}"


class Pages:
    """Read-only: nothing here changes anything."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Where everything is."""
        return [
            Route("/", self._index),
            Route("/style.css", self._style),
            Route("/healthz", self._health),
            Route("/readyz", self._ready),
            Route("/metrics", self._metrics),
            Route(_RUN, self._run),
            Route(f"{_RUN}/log", self._log),
            Route("/v2/domain/{domain}/project/{project}/tasks/{task}", self._task),
        ]

    async def _index(self, _: Request) -> Response:
        return HTMLResponse(await asyncio.to_thread(self._latest))

    async def _style(self, _: Request) -> Response:
        return PlainTextResponse(html.STYLE, media_type="text/css")

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"ok": True})

    async def _ready(self, request: Request) -> Response:
        """`?all` answers 503 for anything that is missing, which is for monitors and not for balancers."""
        stopping = ("stopping",) if self._parts.stopping.is_set() else ()
        found = Readiness(missing=stopping + await asyncio.to_thread(self._parts.checks.missing))
        well = not found.missing if "all" in request.query_params else found.ok
        return JSONResponse(found.document(), status_code=200 if well else 503)

    async def _metrics(self, _: Request) -> Response:
        text = await asyncio.to_thread(self._parts.operating.metrics.text)
        return Response(text, media_type=CONTENT_TYPE)

    async def _run(self, request: Request) -> Response:
        action = await asyncio.to_thread(self._find, request)
        if action is None:
            return HTMLResponse(html.missing_page(f"run {request.path_params['run']}"), status_code=404)
        return HTMLResponse(await asyncio.to_thread(self._run_page, action))

    async def _log(self, request: Request) -> Response:
        action = await asyncio.to_thread(self._find, request)
        if action is None:
            return PlainTextResponse("there is no such run here\n", status_code=404)
        return StreamingResponse(_whole(self._parts.log_of(action)), media_type="text/plain; charset=utf-8")

    def _latest(self) -> str:
        found = self._parts.actions.latest(_SHOWN_RUNS, may=caller().may)
        builds = (action.build_id for action in found if action.build_id)
        return html.index_page(found, targets(self._parts.database, builds))

    def _find(self, request: Request) -> Action | None:
        parts = request.path_params
        try:
            name = ActionName.parse(f"{parts['project']}/{parts['domain']}/{parts['run']}/a0")
        except InvalidName:
            return None
        return self._parts.actions.get(name)

    def _run_page(self, action: Action) -> str:
        parts = self._parts
        told = html.Told(
            build=parts.builds.get(action.build_id) if action.build_id else None,
            inputs=self._inputs(action),
            steps=self._steps(action.build_id) if action.build_id else (),
            log=parts.log_of(action).tail(_SHOWN_LOG),
        )
        return html.run_page(action, parts.actions.transitions(action), told)

    def _inputs(self, action: Action) -> bytes:
        try:
            return self._parts.store.read(ObjectKey.parse(action.inputs_object), _SHOWN_INPUTS)
        except FlyteBuildError:
            return b""  # gone, or too many to be shown

    def _steps(self, build_id: str) -> tuple[StepEnded, ...]:
        _, entries = self._parts.build_logs.entries(build_id, portions=_SHOWN_PORTIONS)
        return tuple(entry.event for entry in entries if isinstance(entry.event, StepEnded))

    async def _task(self, request: Request) -> Response:
        asked = request.path_params
        found = await asyncio.to_thread(self._versions, asked["project"], asked["domain"], asked["task"])
        if not found:
            return HTMLResponse(html.missing_page(f"task {asked['task'][:200]}"), status_code=404)
        return HTMLResponse(html.task_page(asked["project"], asked["domain"], asked["task"], found))

    def _versions(self, project: str, domain: str, name: str) -> tuple[Deployed, ...]:
        if self._parts.built_in and is_build_task(project, domain, name):
            return (BUILT_IN,)
        return Tasks(self._parts.database).latest(project, domain, (name,), slice(0, _SHOWN_VERSIONS))


def _whole(log: LogView) -> Iterator[str]:
    """All that is there now. Starlette reads it in a thread."""
    position = -1
    portion = log.read(0)
    while portion.position != position:
        position = portion.position
        yield "".join(f"{line.text}\n" for line in portion.lines)
        portion = log.read(position)
