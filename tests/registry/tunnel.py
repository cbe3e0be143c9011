"""An HTTP proxy that only tunnels (RFC 9110, CONNECT), and leads names that exist nowhere to servers of the test."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Tunnel:
    """`places`: where "host:port" really is. `asked`: the targets that were asked for, in order."""

    places: Mapping[str, str]
    password: str = ""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    open: list[socket.socket] = field(default_factory=list)

    @property
    def environ(self) -> dict[str, str]:
        user = f"u:{self.password}@" if self.password else ""
        return {"https_proxy": f"http://{user}127.0.0.1:{self.port}"}

    def serve(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self.open.append(client)
                threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(4096)
                if not chunk:
                    return
                head += chunk
            target = head.split()[1].decode()
            self.asked.append(target)
            wanted = base64.b64encode(f"u:{self.password}".encode())
            if self.password and b"basic " + wanted.lower() not in head.lower():
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            if target not in self.places:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            host, _, port = self.places[target].rpartition(":")
            with socket.create_connection((host, int(port)), timeout=30) as server:
                self.open.append(server)
                client.sendall(b"HTTP/1.1 200 Connection Established\r\n\r\n")
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def tunnel_to(places: Mapping[str, str], password: str = "") -> Iterator[Tunnel]:
    """Starts one, and stops it with everything that goes through it."""
    tunnel = Tunnel(places, password)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listener:
        tunnel.port = listener.getsockname()[1]
        thread = threading.Thread(target=tunnel.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield tunnel
        finally:
            # Closing alone does not wake a thread that waits in accept.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for one in tunnel.open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            thread.join()
