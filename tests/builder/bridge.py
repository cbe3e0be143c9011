"""A BuildKit that is somewhere else: a socket of its own, behind which an engine's own BuildKit answers.

The engine speaks gRPC after `POST /grpc` with `Upgrade: h2c`; whoever connects here is connected to that.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

_ASK = b"POST /grpc HTTP/1.1\r\nHost: buildkit\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def engine_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


@contextlib.contextmanager
def bridged(listener: socket.socket, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Everyone who connects to `listener` reaches the engine's BuildKit, while the block runs."""
    ending, place = threading.Event(), engine_socket()
    open_ones: list[socket.socket] = []

    def accept() -> None:
        while not ending.is_set():
            try:
                client, _ = listener.accept()
                open_ones.append(client)
                threading.Thread(target=serve, args=(client,), daemon=True).start()
            except OSError:
                return

    def serve(plain: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client = tls.wrap_socket(plain, server_side=True) if tls else plain
            engine = socket.socket(socket.AF_UNIX)
            open_ones.extend((client, engine))
            engine.connect(place)
            engine.sendall(_ASK)
            head = b""
            while b"\r\n\r\n" not in head:
                head += engine.recv(1)
            assert head.startswith(b"HTTP/1.1 101"), head
            back = threading.Thread(target=copy, args=(engine, client), daemon=True)
            back.start()
            copy(client, engine)
            back.join()

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        for one in (listener, *open_ones):
            one.close()
        thread.join(5)


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(16)
    return listener
