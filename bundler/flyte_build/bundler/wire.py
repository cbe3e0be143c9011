"""One HTTP request, sent again when that may help. The only module here that imports urllib3.

Signed URLs are credentials: nothing here puts more of a URL than its origin into an error or a log.
"""

from __future__ import annotations

import io
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.registry.errors import RegistryUnavailable, UploadError
from flyte_build.registry.proxies import Proxies
from flyte_build.registry.redact import redact_url
from flyte_build.registry.tls import trust
from flyte_build.registry.translate import translated

Body = BinaryIO | io.BufferedIOBase
_MAX_ANSWER = 1 << 20
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_MAX_RETRY_AFTER = 60.0


class _Redacting(logging.Filter):
    """urllib3 logs the path and query of every request at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redact_url(arg) if isinstance(arg, str) else arg for arg in record.args)
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_Redacting())


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and how often to try again; `pause` doubles each time."""

    connect: float = 10.0
    answer: float = 60.0
    retries: int = 3
    pause: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`body` opens the content, once per attempt."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: Callable[[], Body]

    @property
    def origin(self) -> str:
        """scheme://host:port, all that may be shown of the URL."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status, headers, and at most 1 MiB of the body. Redirects are answers and never followed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """Sends requests with the machine's proxies and certificate authorities. Opens nothing until used."""

    def __init__(
        self,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`told` hears a sentence each time that something is tried again."""
        self._patience = patience or Patience()
        self._sleep = sleep
        self._told = told

    def send(self, request: Request) -> Answer:
        """The last answer. Raises UploadError when there was none, or TLS failed."""
        pause = self._patience.pause
        for left in range(self._patience.retries, -1, -1):
            try:
                answer = self._once(request)
                if not left or not _asks_again(answer):
                    return answer
                why = f"{request.origin} answered {answer.status}"
            except (HTTPError, OSError) as error:
                said = translated(error, request.origin)
                if not left or not isinstance(said, RegistryUnavailable):
                    raise UploadError(said.sentence) from error
                answer, why = None, said.sentence
            wait = max(pause, _retry_after(answer))
            again = f"trying again in {wait:g} s" + (f", {left - 1} more after that" if left > 1 else ", the last time")
            self._told(f"{why}; {again}")
            self._sleep(wait)
            pause *= 2
        raise AssertionError("the loop returns or raises")

    def _once(self, request: Request) -> Answer:
        timeout = urllib3.Timeout(connect=self._patience.connect, read=self._patience.answer)
        with pool_of(request.url) as pool, request.body() as body:
            raw = pool.request(
                request.method,
                request.url,
                body=body,
                headers=dict(request.headers),
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                return Answer(status=raw.status, headers=raw.headers, body=raw.read(_MAX_ANSWER))
            finally:
                raw.close()


def _asks_again(answer: Answer) -> bool:
    slow = answer.status == 400 and b"<Code>RequestTimeout</Code>" in answer.body
    return slow or answer.status in _AGAIN


def _retry_after(answer: Answer | None) -> float:
    """Seconds (RFC 9110 section 10.2.3); the form with a date is not worth waiting for."""
    text = answer.headers.get("Retry-After", "") if answer else ""
    return min(float(text), _MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0


def pool_of(url: str) -> urllib3.PoolManager:
    """Connections towards `url`, by this machine's proxies and certificate authorities."""
    proxy = Proxies.parse(os.environ).of(url)
    context: ssl.SSLContext | None = trust(None) if url.startswith("https:") else None
    if not proxy:
        return urllib3.PoolManager(ssl_context=context)
    user = urlsplit(proxy)
    headers = urllib3.make_headers(proxy_basic_auth=f"{user.username}:{user.password or ''}") if user.username else None
    return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=context)
