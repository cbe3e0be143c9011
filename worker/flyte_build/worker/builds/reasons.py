"""Why a build waits, in one sentence for whoever asked for it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.worker.builds.order import covers
from flyte_build.worker.builds.platforms import nobody

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# A build that waits less need not be told why, in seconds.
SOON = 3.0
# One that is started anew is there by then.
NOBODY = 10.0
# Each build that ends moves all that wait: far from its turn a build is told only when it comes much nearer.
_COARSE = (100, 50, 20, 10, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A build in the queue since then; its project runs `running` builds, and may run `most_running` (0: any).

    `platforms` are joined by commas, empty when any worker can do what is to be done. `said` is what its log says
    already. A part of a build has a `parent_id`.
    """

    id: str
    parent_id: str | None
    project: str
    domain: str
    platforms: str
    most_running: int
    running: int
    since: float
    said: str

    @property
    def limited(self) -> bool:
        """Whether its project runs as many as it may."""
        return 0 < self.most_running <= self.running


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """A living worker: what it builds (as in a build; empty: all), and how many more builds it can take now."""

    platforms: str
    free: int


def reasons(
    line: Sequence[Waiting], workers: Sequence[Hands], now: float, patience: float
) -> Iterator[tuple[Waiting, str]]:
    """Why each build of `line` (the next one first) waits; those that are about to be taken are left out.

    That nobody takes it is said after `NOBODY` seconds, or `patience` if that is less: a worker may be about to come.
    """
    of_project: Counter[tuple[str, str]] = Counter()
    of_kind: Counter[str] = Counter()
    for build in line:
        whose = (build.project, build.domain)
        able = [worker for worker in workers if covers(worker.platforms, build.platforms)]
        waited, why = now - build.since, ""
        if not able:
            why = nobody(build.platforms, [one.platforms for one in workers]) if waited >= min(patience, NOBODY) else ""
        elif build.limited:
            why = _limited(build, of_project[whose])
        elif all(worker.free <= 0 for worker in able):
            theirs = (count for kind, count in of_kind.items() if any(covers(one.platforms, kind) for one in able))
            why = _busy(build, sum(theirs), everybody=len(able) == len(workers))
        of_project[whose] += 1
        of_kind[build.platforms] += not build.limited
        if why and waited >= SOON:
            yield build, why


def _limited(build: Waiting, before: int) -> str:
    whose = f"{build.project}/{build.domain} runs as many builds as it may ({build.running} of {build.most_running})"
    return f"{whose}: {_turn(build, before, 'of its builds')}"


def _busy(build: Waiting, before: int, *, everybody: bool) -> str:
    who = "all workers" if everybody else f"all workers for {build.platforms.replace(',', ' and ')}"
    return f"{who} are busy: {_turn(build, before, 'build' if before == 1 else 'builds')}"


def _turn(build: Waiting, before: int, what: str) -> str:
    one = f"the part for {build.platforms}" if build.parent_id else "this one"
    if not before:
        return f"{one} waits, and is the next"
    many = next((f"more than {many}" for many in _COARSE if before > many), str(before))
    return f"{one} waits, and {many} {what} {'is' if before == 1 else 'are'} before it"
