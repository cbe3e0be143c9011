"""Which parts of a service are there: each is asked, at most every few seconds, and in a bounded time.

An endpoint that has its database, its store and its rules of who may takes requests, and builds wait: without the
broker they are found a little later, without workers or a registry they wait until those are back. So only the first
three take it out of service; the others are said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass

from flyte_build.registry.errors import FlyteBuildError

Check = Callable[[], bool]
NEEDED = ("database", "store", "access")
_REMEMBER_SECONDS = 5.0
_PATIENCE = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What is missing, by name; `ok` says whether requests can be taken all the same."""

    missing: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is missing that a request needs."""
        return not {*self.missing} & {*NEEDED, "stopping"}

    def document(self) -> dict[str, object]:
        """What is answered."""
        return {"ok": self.ok, "missing": list(self.missing)}


class Checks:
    """Checks by the name of the part; a check that raises or takes too long says that the part is missing."""

    def __init__(self, checks: Mapping[str, Check], remember: float = _REMEMBER_SECONDS) -> None:
        self._checks = checks
        self._remember = remember
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(len(checks), thread_name_prefix="readiness")
        self._found: tuple[str, ...] = ()
        self._looked_at = float("-inf")

    def missing(self) -> tuple[str, ...]:
        """The parts that are missing now, or were a moment ago."""
        with self._lock:
            if time.monotonic() - self._looked_at > self._remember:
                self._found = self._look()
                self._looked_at = time.monotonic()
            return self._found

    def close(self) -> None:
        """Asks nobody any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _look(self) -> tuple[str, ...]:
        deadline = time.monotonic() + _PATIENCE
        asked = {name: self._pool.submit(check) for name, check in self._checks.items()}
        missing = []
        for name, answer in asked.items():
            try:
                there = answer.result(max(0.0, deadline - time.monotonic()))
            except (FlyteBuildError, OSError, TooLong):
                there = False
            if not there:
                missing.append(name)
        return tuple(missing)
