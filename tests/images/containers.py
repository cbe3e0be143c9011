"""Containers of our own images, held as a cluster's restricted level holds them."""

from __future__ import annotations

import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine import docker

from flyte_build.builder.machine import find_machine

_RESTRICTED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp")
# Parts of the tests listen on loopback.
_NETWORK = "--network=host"
STATE = "/var/lib/flyte-build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One that runs."""

    name: str

    def log(self) -> str:
        """Both streams."""
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def fact(self, template: str) -> str:
        """Of `docker inspect`."""
        return docker("inspect", "--format", template, self.name).stdout.strip()

    def until(self, condition: Callable[[], object], seconds: float = 90) -> None:
        """Waits; AssertionError with the log when it does not happen or the container ends."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.fact("{{.State.Running}}") == "true", self.log()
            assert time.monotonic() < deadline, "it did not happen:\n" + self.log()
            time.sleep(0.1)

    def stop(self) -> int:
        """SIGTERM, as a cluster does it; the exit code."""
        docker("stop", "--time", "30", self.name)
        return int(self.fact("{{.State.ExitCode}}"))


def trusting(folder: Path) -> tuple[str, ...]:
    """Flags that give a container this machine's CA bundle and index."""
    machine = find_machine()
    flags: tuple[str, ...] = ()
    if machine.index_url:
        flags += (f"--env=PIP_INDEX_URL={machine.index_url}",)
    if machine.ca:
        (folder / "ca.pem").write_bytes(machine.ca.read_bytes())
        flags += (f"--volume={folder / 'ca.pem'}:/etc/machine/ca.pem:ro",)
        flags += tuple(f"--env={name}=/etc/machine/ca.pem" for name in ("SSL_CERT_FILE", "PIP_CERT"))
    return flags


def _fresh() -> str:
    return f"fb-{uuid.uuid4().hex[:12]}"


@contextmanager
def running(image: str, *arguments: str, flags: tuple[str, ...] = ()) -> Iterator[Container]:
    """A container in the background, removed in the end with its volume."""
    name = _fresh()
    volume = (f"--volume={STATE}", "--health-interval=2s", "--log-driver=json-file")
    done = docker("run", "--detach", f"--name={name}", *_RESTRICTED, _NETWORK, *volume, *flags, image, *arguments)
    assert done.returncode == 0, done.stderr
    try:
        yield Container(name=name)
    finally:
        docker("rm", "--force", "--volumes", name)


def once(image: str, *arguments: str, flags: tuple[str, ...] = ()) -> tuple[int, str]:
    """A container that ends by itself: its exit code and what it said."""
    name = _fresh()
    words = (f"--name={name}", *_RESTRICTED, _NETWORK, f"--volume={STATE}", *flags, image, *arguments)
    try:
        done = docker("run", *words, timeout=180)
    finally:
        docker("rm", "--force", "--volumes", name)
    return done.returncode, done.stdout + done.stderr


def answer(url: str) -> dict[str, object]:
    """A JSON document of a process of ours; empty while nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            found: dict[str, object] = json.load(response)
            return found
    except OSError:
        return {}
