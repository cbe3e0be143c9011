"""What one process holds for itself while it serves: its port and its state directory."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import socket
from typing import TYPE_CHECKING

from flyte_build.registry.errors import InvalidInput, ServiceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_host(host: str, *, guarded: bool) -> None:
    """InvalidInput when others than this machine reach the host and nobody is asked who they are."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not guarded:
        raise InvalidInput(
            f"{host} is not a loopback address, and this endpoint runs code for whoever reaches it, without asking who",
            hint="say who may with --access FILE, or use --host 127.0.0.1",
        )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens, before anything else is started; ServiceError when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
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
