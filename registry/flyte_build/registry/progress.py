"""What is said while content moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from flyte_build.registry.names import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """`done` of `total` bytes of one blob are over. May go back when a part has to be sent again."""

    digest: Digest
    done: int
    total: int


Progress = Callable[[Moved], None]


def silent(moved: Moved) -> None:
    """For when nobody looks."""


def counted(sent: Callable[[int], None]) -> Progress:
    """For who only adds up bytes: what has to be sent again is not counted again."""
    lock, reached = Lock(), dict[Digest, int]()

    def heard(moved: Moved) -> None:
        with lock:
            before = reached.get(moved.digest, 0)
            reached[moved.digest] = max(before, moved.done)
        if moved.done > before:
            sent(moved.done - before)

    return heard
