"""Work shared out to copies of this process, one per processor: reading many small files is nearly all interpreter.

A copy (fork(2)) reads and computes, writes its answers into a pipe and ends; it leaves nothing else behind. What a
copy cannot do is done here again, so that an error is raised as if there had been no copies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import BinaryIO

_MOST = 8
_PIPE_BYTES = 1 << 20
_LENGTH = 8


def copies() -> int:
    """How many copies are good to have: 1 (none) where another thread could hold a lock that a copy would wait for."""
    if sys.platform != "linux":
        return 1
    try:
        alone = len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        alone = False
    return min(_MOST, os.cpu_count() or 1) if alone else 1


def spread(work: Callable[[int], bytes], count: int, hands: int) -> Generator[bytes]:
    """`work(0)` to `work(count - 1)`, in this order, each done by one of `hands` copies; none of them is empty.

    A copy runs ahead by as much as a pipe holds. Raises what `work` raises.
    """
    running: list[tuple[int, BinaryIO]] = []
    try:
        for hand in range(min(hands, count)):
            running.append(_start(work, range(hand, count, hands), running))
        for number in range(count):
            yield _answer(running[number % hands][1]) or work(number)
    finally:
        for child, pipe in running:
            pipe.close()
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _start(work: Callable[[int], bytes], numbers: range, before: list[tuple[int, BinaryIO]]) -> tuple[int, BinaryIO]:
    reader, writer = os.pipe()
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    child = os.fork()
    if child:
        os.close(writer)
        return child, os.fdopen(reader, "rb")
    # From here on nothing of the parent's may run: no cleanup, no exit handler, no sentence.
    try:
        for _, pipe in before:
            os.close(pipe.fileno())
        with os.fdopen(writer, "wb") as out:
            for number in numbers:
                answer = work(number)
                out.write(len(answer).to_bytes(_LENGTH, "little") + answer)
                out.flush()
    finally:
        os._exit(0)


def _answer(pipe: BinaryIO) -> bytes:
    """The next answer of a copy, or nothing when it ended without one."""
    length = int.from_bytes(pipe.read(_LENGTH), "little")
    answer = pipe.read(length)
    return answer if len(answer) == length else b""
