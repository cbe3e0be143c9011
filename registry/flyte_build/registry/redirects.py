"""Follow where a registry sends us, with nothing of ours in hand."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.guard import Guard, is_plain
from flyte_build.registry.redact import plain
from flyte_build.registry.wire import Request, Response, Transport

_FOLLOWED = frozenset({301, 302, 303, 307, 308})
_MOST = 5


def join(base: str, location: str) -> str:
    """The URL that `location` means at `base` (RFC 3986 section 5), without a fragment; raises RegistryProtocol."""
    try:
        url = urljoin(base, location).partition("#")[0]
    except ValueError:
        url = ""
    if not is_plain(url):
        raise RegistryProtocol(f"{urlsplit(base).netloc} names a place that is no URL: {plain(location, 60)}")
    return url


def same_origin(one: str, other: str) -> bool:
    """Whether two URLs have the same scheme, host and port (RFC 6454 section 5)."""
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.hostname, _port(one)) == (b.scheme, b.hostname, _port(other))


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


class Redirecting:
    """Follows redirects of GET and HEAD, at most five. `Authorization` never leaves the origin it was meant for."""

    def __init__(self, inner: Transport, guard: Guard) -> None:
        self._inner = inner
        self._guard = guard

    def send(self, request: Request) -> Response:
        """Raises RegistryUntrusted for a place that the guard refuses, RegistryProtocol for a loop."""
        first = request.url
        for _ in range(_MOST + 1):
            response = self._inner.send(request)
            self._guard.saw(request.url, response.seclusion)
            location = response.header("location")
            if response.status not in _FOLLOWED or not location or not request.is_read:
                return response
            target = join(request.url, location)
            most = self._guard.check(first, target, "a redirect")
            request = _towards(request, target, most)
        raise RegistryProtocol(f"{urlsplit(first).netloc} redirects more than {_MOST} times for one answer")


def _towards(request: Request, target: str, most: int) -> Request:
    if same_origin(request.url, target):
        return replace(request, url=target, seclusion=most)
    kept = tuple((name, value) for name, value in request.headers if name.lower() != "authorization")
    return replace(request, url=target, headers=kept, seclusion=most)
