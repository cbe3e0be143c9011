"""Takes builds from the database, runs them, and writes down how they end. It loses none: see `Builds`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.builds.attempt import Attempt
from flyte_build.worker.builds.upkeep import Upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.worker.builds.logs import BuildLogs
    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.builds.values import Claim
    from flyte_build.worker.stores.store import Store

_log = logging.getLogger(__name__)


def no_trouble() -> str:
    """For engines that nobody can ask."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Who the worker is, how many builds it runs at once, where it works, and how often it looks in the database.

    `platforms` are what it builds, joined by commas; empty is all. `queue_seconds`: see `Upkeep`. `signs`: what it
    builds is signed. `engine_trouble` says in a sentence why the engine does not answer, empty if it does;
    it is asked before the first build is taken, and again once one ended because it did not.
    """

    owner: str
    slots: int
    scratch: Path
    poll_seconds: float = 2.0
    platforms: str = ""
    queue_seconds: float = 0.0
    signs: bool = False
    engine_trouble: Callable[[], str] = no_trouble


class BuildWorker:
    """Looks for builds when it is woken and every few seconds, and runs as many at once as it has slots."""

    def __init__(
        self, builds: Builds, store: Store, building: ImageBuilding, logs: BuildLogs, options: WorkerOptions
    ) -> None:
        self._builds = builds
        self._store = store
        self._building = building
        self._logs = logs
        self._options = options
        self._upkeep = Upkeep(builds, options.queue_seconds)
        self._slots = threading.BoundedSemaphore(options.slots)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._attempts: set[Attempt] = set()
        self._threads: set[threading.Thread] = set()
        self._draining = threading.Event()
        self._doubted = threading.Event()
        self._doubted.set()
        self._trouble = ""
        self._looker = threading.Thread(target=self._look, name="build-worker-look", daemon=True)

    def start(self) -> None:
        """Begins to look in the database."""
        self._options.scratch.mkdir(parents=True, exist_ok=True)
        self._looker.start()

    def wake(self) -> None:
        """There may be something to do."""
        self._wake.set()

    def drain(self, seconds: float) -> bool:
        """Takes no more builds, and lets those that run end; False when one did not within `seconds`."""
        self._draining.set()
        self._wake.set()
        return self._ended(seconds)

    def stop(self, seconds: float) -> bool:
        """Stops every build and puts it back; False when one did not stop within `seconds`."""
        self._draining.set()
        self._wake.set()
        with self._lock:
            for attempt in self._attempts:
                attempt.give_back()
        return self._ended(seconds)

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        if self._looker.is_alive():
            self._looker.join(seconds)
        with self._lock:
            threads = tuple(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in (*threads, self._looker))

    def _look(self) -> None:
        looked_at = 0.0
        while not self._draining.is_set():
            try:
                may_take = self._may_take()
                if time.monotonic() - looked_at >= self._options.poll_seconds:
                    looked_at = time.monotonic()
                    self._seen(may_take=may_take)
                    self._upkeep.once()
                if may_take:
                    self._take_all()
            except ServiceError as error:
                _log.warning("builds cannot be looked for: %s", error.sentence)
            except Exception:  # noqa: BLE001 - a worker that stopped looking would seem to live and take nothing
                _log.exception("builds cannot be looked for")
            self._wake.wait(self._options.poll_seconds)
            self._wake.clear()

    def _may_take(self) -> bool:
        """Whether the engine is believed to be there: without one, builds would use up their attempts here."""
        if not self._doubted.is_set():
            return True
        trouble = self._options.engine_trouble()
        if trouble and trouble != self._trouble:
            _log.warning("no builds are taken: %s", trouble)
        if self._trouble and not trouble:
            _log.info("the engine answers: builds are taken again")
        self._trouble = trouble
        if not trouble:
            self._doubted.clear()
        return not trouble

    def has_engine(self) -> bool:
        """Whether its engine answered when it was last asked."""
        return not self._trouble

    def _seen(self, *, may_take: bool) -> None:
        """Who takes nothing is not counted on: builds that wait for it say so."""
        mine = self._options
        if may_take:
            self._upkeep.seen(mine.owner, mine.platforms, mine.slots, signs=mine.signs)
        else:
            self._upkeep.gone(mine.owner)

    def _take_all(self) -> None:
        """Takes builds while there are free slots and something to take."""
        while not self._draining.is_set() and self._slots.acquire(blocking=False):
            claim = None
            try:
                # Whoever just gave the slot back may have lost the engine.
                claim = None if self._doubted.is_set() else self._next()
            finally:
                if claim is None:
                    self._slots.release()
            if claim is None:
                return
            self._spawn(claim)

    def _next(self) -> Claim | None:
        """The first in line that nobody else took meanwhile."""
        while True:
            waiting = self._builds.waiting(self._options.platforms, limit=10)
            if not waiting:
                return None
            for build_id in waiting:
                claim = self._builds.claim(self._options.owner, build_id)
                if claim is not None:
                    return claim

    def _spawn(self, claim: Claim) -> None:
        attempt = Attempt(self._builds, self._store, self._logs, claim, self._options.scratch)
        thread = threading.Thread(target=partial(self._run, attempt), name=f"build-{claim.build.id[:8]}", daemon=True)
        with self._lock:
            try:
                thread.start()
            except RuntimeError:
                # The machine has no thread to give. The lease puts the build back.
                self._slots.release()
                raise
            self._attempts.add(attempt)
            self._threads = {one for one in self._threads if one.is_alive()} | {thread}

    def _run(self, attempt: Attempt) -> None:
        try:
            attempt.run(self._building)
            if attempt.engine_away:
                self._doubted.set()
        except ServiceError as error:
            _log.warning("%s: %s", threading.current_thread().name, error.sentence)
        finally:
            with self._lock:
                self._attempts.discard(attempt)
            self._slots.release()
            self._wake.set()

    @property
    def gone(self) -> Callable[[], None]:
        """To be called when it has stopped: nobody counts on it any more."""
        return partial(self._upkeep.gone, self._options.owner)
