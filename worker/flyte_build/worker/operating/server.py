"""`/healthz`, `/readyz` and `/metrics` of a process that serves nothing else: a worker."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.operating.metrics import CONTENT_TYPE
from flyte_build.worker.operating.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flyte_build.worker.operating.metrics import Metrics

_JSON = "application/json"


@contextmanager
def told(host: str, port: int, metrics: Metrics, missing: Callable[[], tuple[str, ...]]) -> Iterator[int]:
    """Answers as long as the block; the port (0 takes a free one). ServiceError when it is taken."""

    class Handler(BaseHTTPRequestHandler):
        """GET only."""

        timeout = 10

        def do_GET(self) -> None:
            """Answers what is asked."""
            self._answer(*_answer(self.path, metrics, missing))

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
            """Nothing."""

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ServiceError(
            f"port {port} of {host} cannot be listened on: {error.strerror}", hint="give another --metrics-port"
        ) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(path: str, metrics: Metrics, missing: Callable[[], tuple[str, ...]]) -> tuple[int, str, bytes]:
    if path == "/metrics":
        return 200, CONTENT_TYPE, metrics.text()
    if path == "/healthz":
        return 200, _JSON, json.dumps({"ok": True}).encode()
    if path == "/readyz":
        found = Readiness(missing=missing())
        return (200 if found.ok else 503), _JSON, json.dumps(found.document()).encode()
    return 404, _JSON, json.dumps({"error": "there is no such page"}).encode()
