"""Running a build client in its own process group: stream what it says, stop all of it when told to."""

from __future__ import annotations

import codecs
import math
import os
import selectors
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

# Kills its whole group when nobody holds the other end of its stdin any more, or when as many seconds are over as the
# last line there said: a build client outlives the process that was killed or stopped over it, and would go on building
# what somebody else builds again by then. `read -t` would be shorter, but is not in every sh.
_WATCHED = """exec 3<&0 </dev/null
(
    waiter=
    while read -r seconds <&3; do
        [ -z "$waiter" ] || kill "$waiter"
        (trap 'kill $!; wait; exit' TERM; sleep "$seconds" & wait $!; kill -9 0) &
        waiter=$!
    done
    kill -9 0
) >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""
_POLL = 0.1
_GRACE = 5.0


def run(
    argv: tuple[str, ...],
    hear: Callable[[str], None],
    *,
    cancelled: threading.Event,
    timeout: float | None = None,
    until: Callable[[], float] | None = None,
    environment: Mapping[str, str] | None = None,
) -> int | None:
    """Run `argv`, passing stderr to `hear` as it comes; the exit code, or None when it was stopped.

    It is stopped when `cancelled` is set, after `timeout` seconds, or when this thread is interrupted: SIGINT to
    the whole group, then SIGKILL; also when this process is killed. At the instant `until` (of `time.monotonic`, asked
    again and again) it is killed even if this process is stopped then and cannot do it. Killing a Buildx client stops
    the `RUN` step that it waits for. OSError when `argv` cannot be started.
    """
    process = _start(argv, environment)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    leash = _Leash(process, until or (lambda: math.inf))

    def over() -> bool:
        return cancelled.is_set() or time.monotonic() > deadline or leash.over()

    try:
        ended = _follow(process, hear, over) and _ended(process, over)
        return process.returncode if ended else None
    finally:
        stop(process)


def _start(argv: tuple[str, ...], environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    if shutil.which(argv[0], path=(environment or os.environ).get("PATH")) is None:
        raise FileNotFoundError(f"there is no program {argv[0]}")
    return subprocess.Popen(
        ("/bin/sh", "-c", _WATCHED, "sh", *argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=None if environment is None else dict(environment),
        start_new_session=True,
    )


class _Leash:
    """Tells the shell beside a client for how long it may go on, whenever that changes."""

    def __init__(self, process: subprocess.Popen[bytes], until: Callable[[], float]) -> None:
        self._process = process
        self._until = until
        self._told = math.inf
        self.over()

    def over(self) -> bool:
        """Whether it may not go on."""
        until = self._until()
        if until != self._told and self._process.stdin is not None:
            self._told = until
            # A shell that is gone has nothing left to kill.
            with suppress(BrokenPipeError):
                os.write(self._process.stdin.fileno(), f"{max(0.0, until - time.monotonic()):.2f}\n".encode())
        return time.monotonic() > until


def _follow(process: subprocess.Popen[bytes], hear: Callable[[str], None], over: Callable[[], bool]) -> bool:
    """Whether the process said its last."""
    if process.stderr is None:
        raise AssertionError("stderr is piped above")
    # A character may come in two reads.
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while not over():
            if selector.select(_POLL):
                chunk = os.read(process.stderr.fileno(), 1 << 16)
                hear(decoder.decode(chunk, final=not chunk))
                if not chunk:
                    return True
    return False


def _ended(process: subprocess.Popen[bytes], over: Callable[[], bool]) -> bool:
    """Whether the process ended by itself: it may close stderr and live on."""
    while not over():
        with suppress(subprocess.TimeoutExpired):
            process.wait(_POLL)
            return True
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it left in its group; returns when it is gone."""
    if process.poll() is None:
        _signal(process, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
    # A leader that is gone may have children that ignore SIGINT, as a shell's background jobs do.
    _signal(process, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # EPERM is macOS's answer for a group of which only a zombie is left.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
