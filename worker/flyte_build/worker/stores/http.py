"""Signed requests to object stores, from the service itself. URLs are secrets: errors name the store only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.bundler.wire import pool_of
from flyte_build.registry.errors import ServiceDenied, ServiceError, ServiceTooLarge, ServiceUnavailable
from flyte_build.registry.translate import translated

if TYPE_CHECKING:
    from pathlib import Path

_T = TypeVar("_T")
_CHUNK = 1 << 20
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TRIES = 3
_TIMEOUT = urllib3.Timeout(connect=10, read=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """A method and a URL that need no further credentials, with the headers that are signed with them."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a store said, with a bounded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StoreHttp:
    """Sends signed requests, again when that may help; keeps its connections. `store` is the name for errors."""

    def __init__(self, store: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._store = store
        self._sleep = sleep
        self._pools: dict[str, urllib3.PoolManager] = {}

    def send(self, request: SignedRequest, body: bytes | Path = b"", *, limit: int = 1 << 20) -> Answer:
        """The answer, of at most `limit` bytes. Raises ServiceUnavailable, ServiceDenied or ServiceError."""

        def answered(raw: urllib3.BaseHTTPResponse) -> Answer:
            data = raw.read(limit + 1)
            if len(data) > limit:
                raise ServiceError(f"the store {self._store} answered more than {limit} bytes")
            return Answer(status=raw.status, headers=raw.headers, body=data)

        return self._tried(request, body, answered)

    def save(self, request: SignedRequest, target: BinaryIO, *, limit: int) -> str | None:
        """Streams an object to `target`; its SHA-256 (hex), or None when there is none. Raises as `send`."""

        def saved(raw: urllib3.BaseHTTPResponse) -> str | None:
            if raw.status == 404:
                return None
            target.seek(0)
            target.truncate()
            digest, size = hashlib.sha256(), 0
            for chunk in raw.stream(_CHUNK, decode_content=False):
                digest.update(chunk)
                size += len(chunk)
                if size > limit:
                    raise ServiceTooLarge(f"an object of the store {self._store} is larger than {limit} bytes")
                target.write(chunk)
            return digest.hexdigest()

        return self._tried(request, b"", saved)

    def _tried(self, request: SignedRequest, body: bytes | Path, read: Callable[[urllib3.BaseHTTPResponse], _T]) -> _T:
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(0.2 * 4**attempt)
            try:
                raw = self._open(request, body)
                try:
                    if raw.status in _AGAIN:
                        why = f"it answered {raw.status}"
                        continue
                    self._refuse(raw)
                    result = read(raw)
                    raw.release_conn()
                    return result
                finally:
                    # Nothing happens to a connection that was given back; one with an unread answer is of no use.
                    raw.close()
            except (HTTPError, OSError) as error:
                why = translated(error, "it").sentence
        raise ServiceUnavailable(f"the store {self._store} cannot be used: {why}")

    def _open(self, request: SignedRequest, body: bytes | Path) -> urllib3.BaseHTTPResponse:
        origin = request.url.partition("?")[0]
        pool = self._pools.setdefault(origin.split("/")[2], pool_of(request.url))
        content = body if isinstance(body, bytes) else body.open("rb")
        headers = {"accept-encoding": "identity", **request.headers}
        if request.method == "PUT":
            headers["content-length"] = str(len(body) if isinstance(body, bytes) else body.stat().st_size)
        try:
            return pool.request(
                request.method,
                request.url,
                body=content if request.method == "PUT" else None,
                headers=headers,
                timeout=_TIMEOUT,
                retries=False,
                redirect=False,
                preload_content=False,
            )
        finally:
            if not isinstance(content, bytes):
                content.close()

    def _refuse(self, raw: urllib3.BaseHTTPResponse) -> None:
        if raw.status in (401, 403):
            raise ServiceDenied(
                f"the store {self._store} refused the service's own credentials ({raw.status})",
                hint="check the credentials, and that they may list, read, write and delete there",
            )
        if raw.status not in (200, 201, 202, 204, 404):
            raise ServiceError(f"the store {self._store} answered {raw.status}")
