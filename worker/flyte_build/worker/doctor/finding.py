"""One thing that `flyte-build doctor` looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flyte_build.registry.errors import FlyteBuildError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`needed` is false for what only some uses need; `what_to_do` is empty when it is fine."""

    part: str
    fine: bool
    found: str
    what_to_do: str = ""
    needed: bool = True


def tried(part: str, look: Callable[[], Finding]) -> Iterator[Finding]:
    """What `look` finds, or that it failed."""
    try:
        yield look()
    except FlyteBuildError as error:
        yield failed(part, error)


def failed(part: str, error: FlyteBuildError) -> Finding:
    """An error as a finding."""
    return Finding(part=part, fine=False, found=error.sentence, what_to_do=error.hint)
