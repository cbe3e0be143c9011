"""Refusals that are given before a service is asked: Connect errors for RPCs, sentences and a way out for people.

Source: the Connect protocol specification, "Error codes" and "Error end-stream".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from flyte_build.registry.errors import FlyteBuildError, ServiceStranger

if TYPE_CHECKING:
    from starlette.types import Scope, Send

_RPC = "/flyteidl2."
_STATUS = {
    "invalid_argument": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "unimplemented": 501,
    "unavailable": 503,
}
_STREAMS = ("application/connect+proto", "application/connect+json")


async def refuse(scope: Scope, send: Send, error: FlyteBuildError) -> None:
    """Refuses whoever may not come in; a browser is sent to the login form."""
    stranger = isinstance(error, ServiceStranger)
    code = "unauthenticated" if stranger else "unavailable" if error.transient else "permission_denied"
    sentence = f"{error.sentence}; {error.hint}" if error.hint else error.sentence
    if scope["path"].startswith(_RPC):
        await refuse_rpc(send, code, sentence, stream=_header(scope, b"content-type").partition(";")[0] in _STREAMS)
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    status = _STATUS[code]
    if stranger and scope["method"] == "GET" and "text/html" in _header(scope, b"accept"):
        status, headers = 303, [*headers, (b"location", b"/login")]
    elif stranger:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{sentence}\n".encode()})


async def refuse_rpc(send: Send, code: str, sentence: str, *, stream: bool) -> None:
    """A Connect error: for a stream as its end, else as the answer."""
    error = {"code": code, "message": sentence}
    if stream:
        text = json.dumps({"error": error}).encode()
        status, kind, body = 200, b"application/connect+proto", b"\x02" + len(text).to_bytes(4, "big") + text
    else:
        status, kind, body = _STATUS[code], b"application/json", json.dumps(error).encode()
    headers = [(b"content-type", kind), *([(b"www-authenticate", b"Bearer")] if code == "unauthenticated" else [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1").lower() for key, value in scope["headers"] if key.lower() == name), "")
