"""What one process holds for itself while it serves: its port and its state directory."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import socket
import ssl
from typing import TYPE_CHECKING

from flyte_build.registry.errors import InvalidInput, ServiceError
from flyte_build.worker.state import mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_host(host: str, public_url: str, *, guarded: bool) -> None:
    """InvalidInput when others than this machine reach the host and nobody is asked who they are, or it has no name."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
        loopback, everywhere = address.is_loopback, address.is_unspecified
    except ValueError:
        loopback = everywhere = False
    if not loopback and not guarded:
        raise InvalidInput(
            f"{host} is not a loopback address, and this endpoint runs code for whoever reaches it, without asking who",
            hint="say who may with --access FILE, or use --host 127.0.0.1",
        )
    if everywhere and not public_url:
        raise InvalidInput(f"{host} is no address that clients can be told", hint="give --public-url, which they use")


def check_tls(files: tuple[Path, Path] | None) -> None:
    """InvalidInput unless the files are a certificate and its key."""
    if files is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidInput(f"{files[0]} and {files[1]} are not a certificate and its key (PEM): {reason}") from error


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens, before anything else is started; ServiceError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only for what says that it is TCP: with it each call waits 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise ServiceError(
                f"port {port} of {host} cannot be listened on: {error.strerror}",
                hint="stop what uses it, or give another --port (0 takes a free one)",
            ) from error
        yield listener


@contextlib.contextmanager
def locked(state: Path) -> Iterator[None]:
    """The state directory, made if missing, closed to other users, and ours alone; ServiceError if it is not."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o700)
        mark(state)
        descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ServiceError(f"the state directory {state} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ServiceError(
            f"the state directory {state} is in use by another flyte-build serve",
            hint="stop that one, or give another --state",
        ) from error
    else:
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def announced(state: Path, url: str) -> Iterator[None]:
    """`endpoint.json` in the state directory says where this process listens, as long as it does."""
    path = state / "endpoint.json"
    beside = state / ".endpoint.json.new"
    beside.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
    beside.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
