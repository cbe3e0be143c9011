"""A registry that stops answering holds up who asks for its images, and nobody else."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from tests.conftest import Parts
from tests.e2e.conftest import serving
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.test_real_split import spec

pytestmark = pytest.mark.real


@dataclass
class Way:
    """A way to the registry that can be blocked: what comes is then taken, and nothing is passed on."""

    registry: str
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    blocked: threading.Event = field(default_factory=threading.Event)
    held: list[socket.socket] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                host, _, port = self.registry.rpartition(":")
                server = socket.create_connection((host, int(port)))
                self.held += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.blocked.is_set():
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def open(self) -> None:
        """What was held up breaks, what comes passes."""
        self.blocked.clear()
        for one in self.held:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.open()
        for one in (self.listener, *self.held):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def way(registry: str) -> Iterator[Way]:
    one = Way(registry)
    thread = threading.Thread(target=one.serve, daemon=True)
    thread.start()
    try:
        yield one
    finally:
        one.close()
        thread.join(10)


def test_calls_that_wait_for_the_registry_keep_no_others_waiting(parts: Parts, tmp_path: Path, fresh_name: str) -> None:
    content = spec(parts.base, f"echo {fresh_name} > /mark")
    with way(parts.registry) as registry, serving(tmp_path / "state", f"{registry.address}/{fresh_name}") as service:
        run = ask_for_build(service.url, content, "demo:1")
        assert wait_for_end(service.url, run).status.phase == 5
        registry.open()
        registry.blocked.set()
        before_asking = len(registry.held)
        answered: list[object] = []
        asking = [
            threading.Thread(target=lambda: answered.append(ask_for_build(service.url, content, "demo:1")))
            for _ in range(12)
        ]
        for thread in asking:
            thread.start()
        while len(registry.held) < before_asking + 2 * 6:
            time.sleep(0.01)
        with RunServiceClientSync(service.url) as client:
            details = client.get_run_details(GetRunDetailsRequest(run_id=run)).details
        before = len(answered)
        registry.open()
        for thread in asking:
            thread.join(60)
    assert details.action.status.phase == 5
    assert (before, len(answered)) == (0, 12), "it was answered after those that wait for the registry"
