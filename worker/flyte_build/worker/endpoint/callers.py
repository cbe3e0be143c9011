"""Who asks, known before a request is read.

The token comes as `Authorization: Bearer …`; from browsers also as a cookie, which the login form sets and which counts
for GET alone, and for no RPC. What clients may do is decided by `authorize`, and by whoever looks at `caller()`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING

from flyte_build.registry.errors import FlyteBuildError, ServiceDenied, ServiceStranger
from flyte_build.worker.access.values import NOBODY, Caller
from flyte_build.worker.endpoint.refusals import refuse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flyte_build.worker.access.gate import Gate

_log = logging.getLogger(__name__)
_RPC = "/flyteidl2."
LOGIN = "/login"
# Signed URLs carry their own proof; the rest tells nothing about anybody.
_PUBLIC = re.compile(r"/healthz|/readyz|/style\.css|/login|/store/.*|/flyteidl2\.auth\.AuthMetadataService/\w+")
_PAGE = re.compile(r"/v2/domain/([^/]+)/project/([^/]+)/.*", re.DOTALL)
_CALLER: ContextVar[Caller] = ContextVar("flyte_build_caller", default=NOBODY)


def caller() -> Caller:
    """Who asks, in the request that is being answered."""
    return _CALLER.get()


def cookie_name(*, secure: bool) -> str:
    """What the cookie is called: over TLS, browsers keep a name of this form from being set by anybody else."""
    return "__Host-flyte-build" if secure else "flyte-build"


class Known:
    """ASGI: knows who asks, and refuses everybody else."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Other events than HTTP pass."""
        if scope["type"] != "http" or _PUBLIC.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            found = await asyncio.to_thread(self._admit, _token(scope))
            _check_page(scope["path"], found)
        except FlyteBuildError as error:
            _log.info("%s %s refused: %s", scope["method"], scope["path"], error.sentence)
            await refuse(scope, send, error)
            return
        before = _CALLER.set(found)
        try:
            await self._app(scope, receive, send)
        finally:
            _CALLER.reset(before)

    def _admit(self, token: str | None) -> Caller:
        return self._gate.caller(self._gate.identify(token))


def _check_page(path: str, found: Caller) -> None:
    page = _PAGE.fullmatch(path)
    if page is not None and not found.may(page[2], page[1]):
        raise ServiceDenied(f"{found.who} may not look at the project {page[2]}/{page[1]}"[:300])


def _token(scope: Scope) -> str | None:
    given = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]
    if len(given) > 1:
        raise ServiceStranger("the request has more than one Authorization header")
    if given:
        kind, _, token = given[0].partition(" ")
        return token.strip() if kind.lower() == "bearer" else None
    # A browser sends cookies whoever made it ask, so they are good for reading pages and nothing else.
    if scope["method"] not in ("GET", "HEAD") or scope["path"].startswith(_RPC):
        return None
    return _cookie(scope)


def _cookie(scope: Scope) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    for name, value in scope["headers"]:
        if name.lower() == b"cookie":
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                return None
    found = jar.get(cookie_name(secure=True)) or jar.get(cookie_name(secure=False))
    return None if found is None else found.value
