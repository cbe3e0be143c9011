"""Small real servers: a Flyte endpoint that signs uploads (Connect, under uvicorn), and a store that can misbehave."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import uvicorn
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from connectrpc.request import RequestContext
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyService, DataProxyServiceASGIApplication
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest, CreateUploadLocationResponse

SIGNATURE = "c2VjcmV0LXNpZ25hdHVyZQ"
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
EXPIRED_TOKEN = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
MISMATCH = (
    f"<Error><Code>SignatureDoesNotMatch</Code><SignatureProvided>{SIGNATURE}</SignatureProvided></Error>".encode()
)
DENIED = f"<Error><Code>AccessDenied</Code><Message>No: http://x/y?X-Signature={SIGNATURE}</Message></Error>".encode()


class Store(ThreadingHTTPServer):
    """Answers PUTs as `behaviour` says, one word per request; the last one stays."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour = ["ok"]
        self.objects: dict[str, bytes] = {}
        self.headers: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next(self) -> str:
        return self.behaviour.pop(0) if len(self.behaviour) > 1 else self.behaviour[0]


class _Handler(BaseHTTPRequestHandler):
    server: Store

    def do_PUT(self) -> None:
        word = self.server.next()
        self.server.headers.append(dict(self.headers))
        if word == "reset":
            # Lingering for no time at all makes the close a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if word == "hang":
            self.server.released.wait(30)
        elif word == "ok":
            right = base64.b64encode(hashlib.md5(body).digest()).decode() == self.headers["Content-MD5"]
            if right:
                self.server.objects[self.path.partition("?")[0].lstrip("/")] = body
            self._say(200 if right else 400, b"")
        elif word == "moved":
            self._say(307, b"", location="http://127.0.0.1:1/elsewhere")
        else:
            self._say(
                *{
                    "expired": (403, EXPIRED),
                    "expired token": (400, EXPIRED_TOKEN),
                    "denied": (403, DENIED),
                    "mismatch": (403, MISMATCH),
                    "echo": (403, f"signature {SIGNATURE} is bad".encode()),
                }.get(word)
                or (int(word), b"")
            )

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Service(DataProxyService):  # type: ignore[misc]  # the generated classes carry no types
    """Signs for `store`; knows, if it is `ours`, what is there. `failure` is raised instead."""

    def __init__(self, store: Store, *, ours: bool) -> None:
        self.begin(store, ours=ours)

    def begin(self, store: Store, *, ours: bool) -> None:
        """Forget everything."""
        self.store = store
        self.ours = ours
        self.failure: ConnectError | None = None
        self.requests: list[CreateUploadLocationRequest] = []

    async def create_upload_location(
        self,
        request: CreateUploadLocationRequest,
        ctx: RequestContext[CreateUploadLocationRequest, CreateUploadLocationResponse],
    ) -> CreateUploadLocationResponse:
        self.requests.append(request)
        if self.failure:
            raise self.failure
        place = request.filename_root or request.content_md5.hex()
        key = f"{request.project}/{request.domain}/{place}/{request.filename}"
        there = self.store.objects.get(key)
        same = there is not None and hashlib.md5(there).digest() == request.content_md5
        if there is not None and not same:
            raise ConnectError(Code.ALREADY_EXISTS, "there is other content under this name")
        return CreateUploadLocationResponse(
            signed_url=f"{self.store.url}/{key}?X-Signature={SIGNATURE}",
            native_url=f"s3://bucket/{key}",
            headers={"x-extra": "1", **({"x-flyte-build-exists": "1"} if self.ours and same else {})},
        )


@contextmanager
def store() -> Iterator[Store]:
    server = Store()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def endpoint(service: Service) -> Iterator[str]:
    """The endpoint's URL."""
    app = DataProxyServiceASGIApplication(service)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", ws="none", log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
