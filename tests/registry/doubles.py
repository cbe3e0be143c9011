"""A registry that misbehaves on request: a real HTTP server on a free port, scripted by the test."""

from __future__ import annotations

import socket
import struct
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.registry.images import manifest_of

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_MANIFEST
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Digest, ImageName, Registry
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.verify import digest_of


@dataclass(frozen=True)
class Says:
    """One scripted answer. `declared` is the Content-Length when it is a lie; `drip` seconds pass between the bytes of
    the body, `slow_head` between an endless number of headers.
    """

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    declared: int | None = None
    drip: float = 0.0
    hang: float = 0.0
    reset: bool = False
    slow_head: float = 0.0


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Script = Callable[[Seen], Says]


@dataclass
class FaultyRegistry:
    """`answers[path]` are given in order, the last one for ever; a path that is not there is an empty 404."""

    port: int = 0
    answers: dict[str, list[Says | Script]] = field(default_factory=lambda: defaultdict(list))
    seen: list[Seen] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def registry(self) -> Registry:
        return Registry(f"127.0.0.1:{self.port}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def says(self, path: str, *answers: Says | Script) -> None:
        self.answers[path] = list(answers)

    def requests(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.path.partition("?")[0] == path]

    def answer(self, seen: Seen) -> Says:
        self.seen.append(seen)
        script = self.answers.get(seen.path) or self.answers.get(seen.path.partition("?")[0])
        if not script:
            return Says(404)
        one = script.pop(0) if len(script) > 1 else script[0]
        return one(seen) if callable(one) else one


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        faulty = self.server.faulty
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        says = faulty.answer(Seen(self.command, self.path, headers, self.rfile.read(length)))
        faulty.stop.wait(says.hang)
        if says.reset:
            # SO_LINGER 0 makes close() send RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif says.slow_head:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.server.faulty.stop.wait(says.slow_head):
                self.wfile.write(b"x: y\r\n")
            self.close_connection = True
        else:
            self._write(says)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET  # noqa: N815

    def _write(self, says: Says) -> None:
        self.send_response(says.status)
        for name, value in says.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(says.body) if says.declared is None else says.declared))
        self.end_headers()
        step = 1 if says.drip else max(1, len(says.body))
        for start in range(0, len(says.body), step):
            self.wfile.write(says.body[start : start + step])
            if self.server.faulty.stop.wait(says.drip):
                break
        self.close_connection = says.declared is not None or says.drip > 0

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

    def __init__(self, faulty: FaultyRegistry) -> None:
        self.faulty = faulty
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: object) -> None:
        with suppress(OSError):
            super().shutdown_request(request)  # type: ignore[arg-type]


@contextmanager
def faulty_registry() -> Iterator[FaultyRegistry]:
    """Starts one that answers `/v2/`, and stops it."""
    faulty = FaultyRegistry()
    server = _Server(faulty)
    faulty.port = server.server_address[1]
    faulty.says("/v2/", Says(200, b"{}", (("content-type", "application/json"),)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield faulty
    finally:
        faulty.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


def serve_image(faulty: FaultyRegistry, repository: str, tag: str, config: bytes) -> Digest:
    """Puts a whole image into a double."""
    body = manifest_of(config)
    answer = Says(200, body, (("content-type", OCI_MANIFEST), ("docker-content-digest", str(digest_of(body)))))
    faulty.says(f"/v2/{repository}/manifests/{tag}", answer)
    faulty.says(f"/v2/{repository}/manifests/{digest_of(body)}", answer)
    faulty.says(f"/v2/{repository}/blobs/{digest_of(config)}", Says(200, config))
    return digest_of(body)


# Timeouts and waits that a test can afford.
QUICK = RegistryOptions(
    backoff=0.001, read_timeout=5, connect_timeout=5, token_timeout=0.5, answer_timeout=5, patience=4
)


class Known:
    """One answer for every registry, and how often it was asked."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self.credentials = credentials
        self.asked = 0

    def for_registry(self, registry: Registry) -> Credentials | None:
        self.asked += 1
        return self.credentials


def anonymous(options: RegistryOptions = QUICK) -> RegistryClient:
    """A client that knows nobody and reads no environment."""
    return RegistryClient(Known(), options, {})


def name_in(faulty: FaultyRegistry, tag: str = "v1") -> ImageName:
    """`acme/x` there."""
    return ImageName.parse(f"{faulty.registry}/acme/x:{tag}")


def error(code: str, message: str = "no") -> bytes:
    """An error document (OCI distribution-spec, "Error Codes")."""
    return f'{{"errors":[{{"code":"{code}","message":"{message}"}}]}}'.encode()
