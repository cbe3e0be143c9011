"""Who may ask: only requests that were meant for this endpoint and do not come from somebody else's web page.

A page on the internet can make a browser send requests to a loopback port, and by DNS rebinding even read the answers.
Such requests carry the attacker's name in `Host`, or an `Origin` that is not ours (RFC 9110 section 7.2, RFC 6454).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.endpoint.callers import LOGIN

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action {}; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What this endpoint is called: values of `Host` (lower case), and origins of its own pages; `secure`: over TLS."""

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool = False

    @classmethod
    def of(cls, port: int, public_url: str, scheme: str = "http") -> Names:
        """Loopback with the listening port, and the public URL if there is one (InvalidInput unless http(s))."""
        hosts = {f"{name}:{port}" for name in _LOOPBACK} | ({*_LOOPBACK} if port == _DEFAULT_PORTS[scheme] else set())
        origins = {f"{scheme}://{host}" for host in hosts}
        if public_url:
            parts = urlsplit(public_url)
            if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
                raise InvalidInput(f"{public_url!r} is not a public URL", hint="write it like https://builds.acme.com")
            names = {parts.netloc.lower(), f"{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"}
            hosts |= names
            origins |= {f"{parts.scheme}://{name}" for name in names}
        secure = (public_url or f"{scheme}:").startswith("https:")
        return cls(hosts=frozenset(hosts), origins=frozenset(origins), secure=secure)


class Guarded:
    """ASGI: refuses what was not meant for us, and gives every answer the headers that keep browsers strict."""

    def __init__(self, app: ASGIApp, names: Names, *, any_host: bool = False) -> None:
        """`any_host`: who asks has to show a token, which a rebound name does not bring, so `Host` proves nothing."""
        self._app = app
        self._names = names
        self._any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lifespan events pass; anything but HTTP is dropped."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        policy = (b"content-security-policy", _POLICY.format("'self'" if scope["path"] == LOGIN else "'none'").encode())

        async def strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS, policy]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, strict)
        else:
            await _refuse(strict, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = [(name.lower(), value.decode("latin-1").lower()) for name, value in scope["headers"]]
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or not (self._any_host or hosts[0] in self._names.hosts):
            return 421, "this request was not meant for this endpoint: use the URL that it printed, or --public-url\n"
        if any(name == b"origin" and value not in self._names.origins for name, value in headers):
            return 403, "requests of other web pages are refused\n"
        return None


async def _refuse(send: Send, status: int, sentence: str) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [kind]})
    await send({"type": "http.response.body", "body": sentence.encode()})
