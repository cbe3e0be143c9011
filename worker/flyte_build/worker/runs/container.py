"""Containers, by the command line of the engine that is here (`docker`, found and pointed as its user has it)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import EngineError, EngineMissing
from flyte_build.worker.stores.logs import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CREATE_SECONDS = 1800
_CREATE_TRIES = 3
_SHORT_SECONDS = 30
_MAX_LINE = 65536
_NO_SDK = "the image has no flyte SDK: begin with flyte.Image.from_debian_base(), or add .with_pip_packages('flyte')"
_DAEMON = "Error response from daemon: "
_HINT = "install Docker and start it, or set DOCKER_HOST to an engine that runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended."""

    code: int
    out_of_memory: bool


class _LostContent(EngineError):
    """The engine's own garbage collection took what it was just pulling (containerd's image store, a known race)."""

    transient = True


class Containers:
    """One engine. Every call is a process of its own group; EngineMissing when there is no engine to be had."""

    def __init__(self, docker: str = "docker") -> None:
        self._docker = docker
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._letting_go = False

    def create(self, argv: tuple[str, ...]) -> str:
        """Creates a container, pulling its image if it is not here; returns its id."""
        for _ in range(_CREATE_TRIES - 1):
            with contextlib.suppress(_LostContent):
                return self._create(argv)
        return self._create(argv)

    def _create(self, argv: tuple[str, ...]) -> str:
        return self._call(argv, _CREATE_SECONDS, long=True).strip().splitlines()[-1]

    def start(self, container: str) -> None:
        """Starts it."""
        self._call(("start", container))

    def follow(self, container: str, line: Callable[[str], None]) -> None:
        """Gives every line that the container wrote and writes, from the first one on, until it ends."""
        with self._process(("logs", "--follow", container), merge=True) as process, self._long(process):
            stream = process.stdout
            while stream is not None and (data := stream.readline(_MAX_LINE)):
                line(data.decode(errors="replace"))
            process.wait()

    def let_go(self) -> None:
        """Ends every `create` and `follow` that is under way and refuses new ones; the containers go on."""
        with self._lock:
            self._letting_go = True
            processes = tuple(self._processes)
        for process in processes:
            _kill(process)

    def status(self, container: str) -> str:
        """`created`, `running`, `exited` …, in the engine's words."""
        return self._call(("inspect", "--format={{.State.Status}}", container)).strip()

    def exit_of(self, container: str) -> Exit:
        """How it ended."""
        state = json.loads(self._call(("inspect", "--format={{json .State}}", container)))
        return Exit(code=int(state.get("ExitCode", 0)), out_of_memory=bool(state.get("OOMKilled", False)))

    def kill(self, container: str) -> None:
        """Stops it at once; nothing when it has ended."""
        with contextlib.suppress(EngineError):
            self._call(("kill", container))

    def remove(self, container: str) -> None:
        """Removes it, running or not; nothing when it is not there."""
        with contextlib.suppress(EngineError):
            self._call(("rm", "--force", "--volumes", container))

    def find(self, label: str) -> str | None:
        """The id of a container with this `name=value` label."""
        found = self._call(("ps", "--all", "--no-trunc", "--quiet", f"--filter=label={label}")).split()
        return found[0] if found else None

    def labelled(self, label: str, other: str) -> tuple[tuple[str, str], ...]:
        """All containers with this `name=value` label: their ids, and what their label `other` says."""
        shown = f'--format={{{{.ID}}}} {{{{.Label "{other}"}}}}'
        lines = self._call(("ps", "--all", "--no-trunc", f"--filter=label={label}", shown)).splitlines()
        return tuple((one, value) for one, _, value in (line.partition(" ") for line in lines))

    def _call(self, argv: tuple[str, ...], seconds: float = _SHORT_SECONDS, *, long: bool = False) -> str:
        with self._process(argv) as process, self._long(process) if long else contextlib.nullcontext():
            try:
                out, err = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                raise EngineError(f"docker {argv[0]} did not end within {seconds:.0f} s") from error
        if process.returncode != 0:
            raise _translate(argv[0], err.decode(errors="replace"))
        return out.decode(errors="replace")

    @contextlib.contextmanager
    def _process(self, argv: tuple[str, ...], *, merge: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        try:
            process = subprocess.Popen(
                (self._docker, *argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merge else subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineMissing(
                f"there is no container engine here: {self._docker} cannot be run", hint=_HINT
            ) from error
        with process:
            try:
                yield process
            finally:
                _kill(process)

    @contextlib.contextmanager
    def _long(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            if self._letting_go:
                raise EngineError("the endpoint is stopping")
            self._processes.add(process)
        try:
            yield
        finally:
            with self._lock:
                self._processes.discard(process)


def _translate(verb: str, prose: str) -> EngineError:
    lines = [line.strip() for line in clean(prose).splitlines() if line.strip()]
    said = [line.partition(_DAEMON)[2] for line in lines if _DAEMON in line]
    reason = (said or lines or ["no reason given"])[-1].removeprefix("docker: ")
    # Only the words differ between "down" and "refused"; a wrong guess costs a hint, not a decision.
    if "annot connect to the Docker daemon" in reason or "error during connect" in reason:
        return EngineMissing("the container engine does not answer", hint=_HINT)
    kind = _LostContent if "content digest" in reason and "not found" in reason else EngineError
    return kind(f"docker {verb} failed: {reason[:500]}", hint=_NO_SDK if '"a0"' in reason else "")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
