"""HTTP over urllib3. Redirects, retries and credentials are wrapped around it elsewhere."""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from flyte_build.registry.connections import new_manager, peer_of
from flyte_build.registry.errors import RegistryProtocol, RegistryUnavailable
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.proxies import Proxies
from flyte_build.registry.tls import host_folders, trust
from flyte_build.registry.translate import translated
from flyte_build.registry.verify import excerpt
from flyte_build.registry.wire import Request, Response, Streamed

_CHUNK = 64 * 1024
_HEADERS = {"user-agent": "flyte-build", "accept-encoding": "identity"}
_RANGE = re.compile(r"bytes (\d+)-")


class HttpTransport:
    """Connections, TLS, proxies and timeouts. Safe to share between threads; opens nothing until used."""

    def __init__(self, options: RegistryOptions, environ: Mapping[str, str] = os.environ) -> None:
        self._options = options
        self._environ = environ
        self._lock = threading.Lock()
        self._contexts: dict[object, ssl.SSLContext] = {}
        self._managers: dict[object, urllib3.PoolManager] = {}

    def send(self, request: Request) -> Response:
        """Raises RegistryUnavailable, RegistryUntrusted or RegistryProtocol; never follows a redirect."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(request.url))
        deadline = time.monotonic() + (request.timeout or self._options.answer_timeout)
        try:
            raw = self._open(request)
            try:
                peer = peer_of(raw)
                chunks = _chunks(raw, deadline, origin)
                good = 200 <= raw.status < 300
                body = request.read(_rest(chunks, raw, request, origin)) if good else excerpt()(chunks)
            finally:
                raw.close()
        except (HTTPError, OSError) as error:
            raise translated(error, origin) from error
        return Response(status=raw.status, headers=raw.headers, body=body, url=request.url, seclusion=peer)

    def _open(self, request: Request) -> urllib3.BaseHTTPResponse:
        whole = request.timeout or self._options.answer_timeout
        timeout = urllib3.Timeout(
            connect=min(self._options.connect_timeout, whole), read=min(self._options.read_timeout, whole)
        )
        headers = {**_HEADERS, **dict(request.headers)}
        body: bytes | Iterator[bytes] | None
        if isinstance(request.body, Streamed):
            headers["content-length"] = str(request.body.size)
            body = request.body.chunks()
        else:
            body = request.body
        if request.start:
            headers["range"] = f"bytes={request.start}-"
        return self._manager(request).request(
            request.method,
            request.url,
            headers=headers,
            body=body,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _manager(self, request: Request) -> urllib3.PoolManager:
        proxy = Proxies.parse(self._environ).of(request.url)
        folders = host_folders(urlsplit(request.url).netloc, self._environ)
        with self._lock:
            context = None
            if request.url.startswith("https:") or proxy.startswith("https:"):
                context = self._contexts.get(folders)
                if context is None:
                    context = self._contexts[folders] = trust(self._options.ca_bundle, self._environ, folders)
            # The pools made before there was a context have only plain connections.
            key = (proxy, request.seclusion, context and folders, context is not None)
            if key not in self._managers:
                self._managers[key] = new_manager(proxy, context, request.seclusion, self._options.answer_timeout)
            return self._managers[key]


def _chunks(raw: urllib3.BaseHTTPResponse, deadline: float, origin: str) -> Iterator[bytes]:
    # read1 gives what has come; read would wait for a full chunk of a server that sends a byte a minute.
    while chunk := raw.read1(_CHUNK):
        yield chunk
        if time.monotonic() > deadline:
            raise RegistryUnavailable(f"{origin} did not finish its answer in time")


def _rest(chunks: Iterator[bytes], raw: urllib3.BaseHTTPResponse, request: Request, origin: str) -> Iterator[bytes]:
    """What follows `request.start`: a server may send just that (206) or everything (200)."""
    skip = request.start
    if raw.status == 206:
        stated = _RANGE.match(raw.headers.get("content-range") or "")
        if stated is None or int(stated.group(1)) != request.start:
            raise RegistryProtocol(f"{origin} answered with another part of the content than the one asked for")
        skip = 0
    for chunk in chunks:
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))
