"""What the service is, and what it lets whoever asks do: for `flyte-build doctor`, and for programs.

GET  /api/v1/service?project=&domain=   {"version": 1, "release", "recipe", "who", "expires", "projects": […],
                                         "registry", "workers": [{"platforms": […], "signs": bool}]}

`who`, `expires` (seconds since 1970, null: never) and `projects` are of the token that asks. `registry` is where
images of the project in question go that name none; null where the caller may not use it. `workers` are those that
live; one without platforms takes builds for all.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flyte_build.builder.recipe import RECIPE
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.endpoint.callers import caller
from flyte_build.worker.endpoint.looking import living
from flyte_build.worker.stores.keys import parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from flyte_build.worker.access.values import Caller
    from flyte_build.worker.endpoint.parts import Parts

SERVICE_PATH = "/api/v1/service"


class ServiceApi:
    """Tells callers about themselves and nobody else."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route(SERVICE_PATH, self._service)]

    async def _service(self, request: Request) -> Response:
        asked, asking = request.query_params, caller()
        try:
            registry = self._registry(asking, asked.get("project", ""), asked.get("domain", ""))
        except InvalidInput as error:
            return JSONResponse({"version": 1, "error": error.sentence}, status_code=422)
        return JSONResponse(
            {
                "version": 1,
                "release": version("flyte-build"),
                "recipe": RECIPE,
                "who": asking.who,
                "expires": asking.expires,
                "projects": [str(one) for one in asking.projects],
                "registry": registry,
                "workers": await asyncio.to_thread(self._workers),
            }
        )

    def _registry(self, asking: Caller, project: str, domain: str) -> str | None:
        if not project or not asking.may(project, domain):
            return None
        return self._parts.policies.of(parse_scope(project, "project"), parse_scope(domain, "domain")).registry

    def _workers(self) -> list[Mapping[str, object]]:
        found = living(self._parts.database, self._parts.clock)
        return [{"platforms": one.platforms.split(",") if one.platforms else [], "signs": one.signs} for one in found]
