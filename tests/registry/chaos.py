"""A proxy in front of a real registry that does, at the requests a test names, what bad weather does."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from tests.registry.native import NativeReferrers

from flyte_build.registry.names import Registry

Kind = Literal["answer", "reset", "lost", "cut", "flipped", "hang", "shorter", "no-mount"]
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "date", "server"})


@dataclass
class Fault:
    """What happens to requests of this method whose path matches, the first `times` of them after `skip` others.

    `answer`: status, headers and body without asking the registry. `reset`: the connection breaks before, `lost`:
    after the registry did it. `cut`: half of the body, then the end. `flipped`: one bit of the body is another.
    `hang`: no answer. `shorter`: the body of the request never arrives as a whole. `no-mount`: the query is dropped.
    """

    kind: Kind
    method: str
    path: str
    times: int = 1
    skip: int = 0
    status: int = 500
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    happened: int = field(default=0)

    def applies(self, method: str, path: str) -> bool:
        if self.method != method or not re.search(self.path, path):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.happened >= self.times:
            return False
        self.happened += 1
        return True


@dataclass
class Chaos:
    """The proxy: its registry is spoken to as `registry`; `asked` is what came through, in order."""

    upstream: Registry
    port: int = 0
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    native: NativeReferrers | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def registry(self) -> Registry:
        return Registry(f"127.0.0.1:{self.port}")

    def fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            self.asked.append((method, path))
            return next((fault for fault in self.faults if fault.applies(method, path)), None)

    def count(self, method: str, path: str) -> int:
        return sum(1 for one, other in self.asked if one == method and re.search(path, other))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        chaos = self.server.chaos
        fault = chaos.fault(self.command, self.path)
        kind = fault.kind if fault else None
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if kind == "reset":
            return self._reset()
        if kind == "hang":
            chaos.stop.wait(30)
            return self._reset()
        if fault is not None and kind == "answer":
            return self._write(fault.status, list(fault.headers), fault.body, len(fault.body))
        if chaos.native and (page := chaos.native.page(self.path)):
            return self._write(200, page[0], page[1], len(page[1]))
        status, headers, content = self._forward(body, fault)
        if chaos.native and self.command == "PUT" and status == 201:
            headers += chaos.native.stored(self.path, self.headers.get("content-type", ""), body)
        if kind == "lost":
            return self._reset()
        if kind == "flipped":
            content = content[:-1] + bytes([content[-1] ^ 1])
        sent = content[: len(content) // 2] if kind == "cut" else content
        return self._write(status, headers, sent, len(content))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _forward(self, body: bytes, fault: Fault | None) -> tuple[int, list[tuple[str, str]], bytes]:
        path = self.path
        if fault is not None and fault.kind == "no-mount":
            path = path.partition("?")[0]
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        if fault is not None and fault.kind == "shorter":
            # The registry keeps what it got, as it does when a client's connection breaks.
            self._half(path, headers, body)
            return 502, [], b""
        upstream = http.client.HTTPConnection(self.server.chaos.upstream.host, timeout=30)
        try:
            # The Host header stays: a registry's locations lead through us again.
            upstream.request(self.command, path, body=body, headers=headers)
            answer = upstream.getresponse()
            content = answer.read()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
            if self.command == "HEAD":
                kept += [("x-length", answer.getheader("content-length") or "")]
            return answer.status, kept, content
        finally:
            upstream.close()

    def _half(self, path: str, headers: dict[str, str], body: bytes) -> None:
        lines = [f"{self.command} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode()
        host, _, port = self.server.chaos.upstream.host.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + body[: len(body) // 2])
            connection.shutdown(socket.SHUT_WR)
            with suppress(OSError):
                while connection.recv(65536):
                    pass

    def _write(self, status: int, headers: list[tuple[str, str]], sent: bytes, declared: int) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(declared))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(sent)
        self.close_connection = len(sent) != declared

    def _reset(self) -> None:
        # SO_LINGER 0 makes close() send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The test tells what matters."""

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: object) -> None:
        with suppress(OSError):
            super().shutdown_request(request)  # type: ignore[arg-type]


@contextmanager
def chaos_before(upstream: Registry, *faults: Fault) -> Iterator[Chaos]:
    """Starts one before this registry, and stops it."""
    chaos = Chaos(upstream, faults=list(faults))
    server = _Server(chaos)
    chaos.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield chaos
    finally:
        chaos.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()
