"""How to log in: for the SDK (`AuthMetadataService`), and a form for people who look at pages in a browser."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from flyteidl2.auth import auth_service_pb2
from flyteidl2.auth.auth_service_connect import AuthMetadataService
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker.endpoint import html
from flyte_build.worker.endpoint.callers import LOGIN, cookie_name
from flyte_build.worker.endpoint.failures import unimplemented

if TYPE_CHECKING:
    from starlette.requests import Request

    from flyte_build.worker.access.gate import Gate
    from flyte_build.worker.access.rules import Login
    from flyte_build.worker.endpoint.failures import Context

_MAX_FORM = 32 * 1024
_MOST_SECONDS = 12 * 3600
_LISTS = ("response_types_supported", "scopes_supported", "grant_types_supported", "code_challenge_methods_supported")
_TEXTS = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "device_authorization_endpoint")


class AuthRpc(AuthMetadataService):  # type: ignore[misc]
    """What the SDK's login flows ask before they have a token."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def get_o_auth2_metadata(
        self, request: auth_service_pb2.GetOAuth2MetadataRequest, ctx: Context
    ) -> auth_service_pb2.GetOAuth2MetadataResponse:
        """The issuer's own discovery document. UNIMPLEMENTED when the rules have no [login]."""
        del request, ctx
        document = await asyncio.to_thread(self._gate.discovery, self._login().issuer)
        texts = {name: value for name in _TEXTS if isinstance(value := document.get(name), str)}
        lists = {name: value for name in _LISTS if isinstance(value := document.get(name), list)}
        return auth_service_pb2.GetOAuth2MetadataResponse(
            **texts, **{name: [str(one) for one in value] for name, value in lists.items()}
        )

    async def get_public_client_config(
        self, request: auth_service_pb2.GetPublicClientConfigRequest, ctx: Context
    ) -> auth_service_pb2.GetPublicClientConfigResponse:
        """The client that users log in with. UNIMPLEMENTED when the rules have no [login]."""
        del request, ctx
        login = self._login()
        return auth_service_pb2.GetPublicClientConfigResponse(
            client_id=login.client_id,
            redirect_uri=login.redirect_uri,
            scopes=login.scopes,
            audience=login.audience,
            authorization_metadata_key="authorization",
        )

    def _login(self) -> Login:
        if self._gate.login is None:
            raise unimplemented("know how to log in: its rules have no [login]; send a bearer token")
        return self._gate.login


class LoginPages:
    """A form that takes a token and keeps it in a cookie: no session is kept here, and the token ends it."""

    def __init__(self, gate: Gate, *, secure: bool) -> None:
        self._gate = gate
        self._secure = secure

    def routes(self) -> list[Route]:
        """Where everything is."""
        return [Route(LOGIN, self._show), Route(LOGIN, self._take, methods=["POST"])]

    async def _show(self, _: Request) -> Response:
        return HTMLResponse(html.login_page(""))

    async def _take(self, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_FORM:
                return HTMLResponse(html.login_page("that is too long for a token"), status_code=413)
        token = parse_qs(body.decode("latin-1")).get("token", [""])[0].strip()
        try:
            identity = await asyncio.to_thread(self._gate.identify, token)
            self._gate.caller(identity)
        except FlyteBuildError as error:
            return HTMLResponse(html.login_page(error.sentence), status_code=503 if error.transient else 403)
        answer = RedirectResponse("/", status_code=303)
        expires = identity.expires if identity is not None else None
        left = _MOST_SECONDS if expires is None else min(_MOST_SECONDS, max(0, int(expires - time.time())))
        answer.set_cookie(
            cookie_name(secure=self._secure), token, max_age=left, httponly=True, secure=self._secure, samesite="lax"
        )
        return answer
