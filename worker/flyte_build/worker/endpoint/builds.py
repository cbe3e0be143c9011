"""Builds over plain HTTP, for `flyte-build builds` and for programs: documents, and logs as they grow.

GET  /api/v1/builds?project=&domain=&state=&limit=
GET  /api/v1/builds/ID
GET  /api/v1/builds/ID/log?after=POSITION&follow=1     one JSON document a line: entries, `{"position": N}` after
                                                       each portion, and at the end `{"state": …}`
POST /api/v1/builds/ID/cancel

ID may be the beginning of one: 409 with the candidates when it means several.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from flyte_build.worker.builds.listing import SHORTEST, Wanted, beginning, newest, runs_of, stop
from flyte_build.worker.builds.logs import bell_of
from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.endpoint.callers import caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from flyte_build.worker.builds.values import Build
    from flyte_build.worker.endpoint.parts import Parts

BUILDS_PATH = "/api/v1/builds"
# So many of the builds that a short id may mean are told.
_NAMED = 5
_LOOK_SECONDS = 0.5
# An empty line after so long: only by writing does a server learn that nobody reads any more.
_REPEAT_SECONDS = 15.0


class BuildsApi:
    """What `flyte-build builds` asks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Where everything is."""
        one = f"{BUILDS_PATH}/{{build}}"
        return [
            Route(BUILDS_PATH, self._list),
            Route(one, self._show),
            Route(f"{one}/log", self._log),
            Route(f"{one}/cancel", self._cancel, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        asked = request.query_params
        limit = asked.get("limit", "20")
        wanted = Wanted(
            project=asked.get("project", ""),
            domain=asked.get("domain", ""),
            state=asked.get("state", ""),
            limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 6 else 20,
        )
        found = await asyncio.to_thread(newest, self._parts.database, wanted, caller().may)
        return JSONResponse({"version": 1, "builds": [build_document(build) for build in found]})

    async def _show(self, request: Request) -> Response:
        build = await self._find(request)
        if isinstance(build, Response):
            return build
        runs = await asyncio.to_thread(runs_of, self._parts.database, build.id)
        document = {**build_document(build), "log": build.error_log, "runs": [str(run.full_name) for run in runs]}
        return JSONResponse({"version": 1, "build": document})

    async def _log(self, request: Request) -> Response:
        build = await self._find(request)
        if isinstance(build, Response):
            return build
        after = request.query_params.get("after", "")
        position = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
        follow = request.query_params.get("follow", "") == "1"
        return StreamingResponse(self._entries(build, position, follow=follow), media_type="application/x-ndjson")

    async def _cancel(self, request: Request) -> Response:
        build = await self._find(request)
        if isinstance(build, Response):
            return build
        parts, reason = self._parts, "the build was cancelled"
        stopped = await asyncio.to_thread(stop, parts.database, parts.builds, parts.actions, build.id, reason)
        return JSONResponse({"version": 1, "id": build.id, "runs": stopped})

    async def _find(self, request: Request) -> Build | Response:
        """The build that an id, or the beginning of one, means; the answer if it means none or several."""
        asked, may, builds = request.path_params["build"], caller().may, self._parts.builds
        found = await asyncio.to_thread(builds.get, asked)
        # To those who may not see it, it is not there.
        if found is not None and may(found.project, found.domain):
            return found
        several = await asyncio.to_thread(beginning, self._parts.database, asked, may, _NAMED + 1)
        if len(several) > 1:
            return _ambiguous(asked, several)
        only = await asyncio.to_thread(builds.get, several[0].id) if several else None
        return only or _missing(asked)

    async def _entries(self, build: Build, position: int, *, follow: bool) -> AsyncIterator[str]:
        parts, now, said_at = self._parts, build, time.monotonic()
        # What a part says is in the log of the whole.
        log = build.parent_id or build.id
        with parts.bell.listen(bell_of(log)) as listener:
            while not parts.stopping.is_set():
                # Its state is looked at first: who has ended writes nothing more.
                found = await asyncio.to_thread(parts.builds.get, build.id)
                now = found or now
                async for text, end in self._portions(log, position):
                    position, said_at = end, time.monotonic()
                    yield text
                if now.state not in ACTIVE or not follow:
                    break
                if time.monotonic() - said_at > _REPEAT_SECONDS:
                    said_at = time.monotonic()
                    yield "\n"
                await listener.wait(_LOOK_SECONDS)
        yield json.dumps(build_document(now)) + "\n"

    async def _portions(self, build_id: str, position: int) -> AsyncIterator[tuple[str, int]]:
        while True:
            end, entries = await asyncio.to_thread(self._parts.build_logs.entries, build_id, position)
            if end == position:
                return
            position = end
            lines = "".join(f"{entry.encode()}\n" for entry in entries)
            yield f'{lines}{{"position": {position}}}\n', position


def build_document(build: Build) -> dict[str, object]:
    """What a program is told of a build; times in seconds since 1970."""
    took = build.ended_at - build.started_at if build.ended_at and build.started_at else None
    return {
        "id": build.id,
        "project": build.project,
        "domain": build.domain,
        "target": build.target,
        "state": build.state,
        "status": build.status,
        "reference": build.reference,
        "spec_digest": build.spec_digest,
        "waits": build.waits if build.state == BuildState.QUEUED.value else "",
        "attempts": build.attempts,
        "created_at": build.created_at,
        "started_at": build.started_at,
        "ended_at": build.ended_at,
        "seconds": None if took is None else round(took, 3),
        "error": build.error,
        "step": build.step,
    }


def _missing(asked: str) -> Response:
    why = "" if len(asked) >= SHORTEST else f": of an id at least {SHORTEST} characters are needed"
    return JSONResponse({"version": 1, "error": f"there is no build {asked[:80]} here{why}"}, status_code=404)


def _ambiguous(asked: str, several: tuple[Build, ...]) -> Response:
    count = len(several) if len(several) <= _NAMED else f"more than {_NAMED}"
    *names, last = (f"{build.id} ({build.state}, {build.target})" for build in several[:_NAMED])
    error = f"{asked} begins the ids of {count} builds: {', '.join(names)} and {last}"
    return JSONResponse({"version": 1, "error": error}, status_code=409)
