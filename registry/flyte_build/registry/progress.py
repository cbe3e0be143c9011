"""What is said while content moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
