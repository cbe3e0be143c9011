"""What is said while content moves, and while something is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from flyte_build.registry.names import Digest
from flyte_build.registry.redact import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """`done` of `total` bytes of one blob are over. May go back when a part has to be sent again."""

    digest: Digest
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What did not work out, and is tried again in `seconds`: attempt `number` of at most `most`."""

    why: str
    seconds: float
    number: int
    most: int

    @property
    def sentence(self) -> str:
        """One line, without what may be secret."""
        return f"{plain(self.why, 300)}; trying again in {self.seconds:.1f} s ({self.number} of {self.most})"


Progress = Callable[[Moved], None]
Retries = Callable[[Retry], None]


def silent(moved: Moved) -> None:
    """For when nobody looks."""


def patient(retry: Retry) -> None:
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
