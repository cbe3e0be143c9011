"""Takes builds from the database, runs them, and writes down how they end. It loses none: see `Builds`."""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from flyte_build.registry.errors import BuildFailed, FlyteBuildError, ServiceError
from flyte_build.worker.builds.lease import Lease
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.builds.values import BuildFailure
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.logs import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.worker.builds.log_writer import BuildLog
    from flyte_build.worker.builds.logs import BuildLogs
    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.builds.request import BuildOutcome, ImageBuilding
    from flyte_build.worker.builds.values import Claim
    from flyte_build.worker.stores.store import Store

_log = logging.getLogger(__name__)
_MAX_SPEC = 4 * 2**20
_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """Who the worker is, how many builds it runs at once, where it works, and how often it looks in the database."""

    owner: str
    slots: int
    scratch: Path
    poll_seconds: float = 2.0


class BuildWorker:
    """Runs builds that it is told of (`take`) and those that it finds itself while a slot is free."""

    def __init__(
        self,
        builds: Builds,
        store: Store,
        building: ImageBuilding,
        logs: BuildLogs,
        options: WorkerOptions,
    ) -> None:
        self._builds = builds
        self._store = store
        self._building = building
        self._logs = logs
        self._options = options
        self._slots = threading.BoundedSemaphore(options.slots)
        self._lock = threading.Lock()
        self._leases: set[Lease] = set()
        self._threads: set[threading.Thread] = set()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begins to look in the database."""
        self._options.scratch.mkdir(parents=True, exist_ok=True)
        self._spawn(self._look, "build-worker-look")

    def stop(self, seconds: float) -> bool:
        """Stops every build and puts it back; False when one did not stop within `seconds`."""
        self._stopping.set()
        with self._lock:
            threads = tuple(self._threads)
            for lease in self._leases:
                lease.cancelled.set()
        for thread in threads:
            thread.join(seconds)
        return not any(thread.is_alive() for thread in threads)

    def take(self, build_id: str) -> bool:
        """Runs this build if it is still in the queue, waiting for a slot; False when there was nothing to do."""
        with self._slots:
            return self._run(build_id)

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                self._builds.expire()
                for build_id in self._builds.waiting(self._options.slots):
                    if self._slots.acquire(blocking=False):
                        self._spawn(partial(self._run_and_free, build_id), f"build-{build_id[:8]}")
            except ServiceError as error:
                _log.warning("builds cannot be looked for: %s", error.sentence)
            self._stopping.wait(self._options.poll_seconds)

    def _spawn(self, target: Callable[[], object], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        with self._lock:
            self._threads = {one for one in self._threads if one.is_alive()} | {thread}
            thread.start()

    def _run_and_free(self, build_id: str) -> None:
        try:
            self._run(build_id)
        except ServiceError as error:
            _log.warning("build %s: %s", build_id, error.sentence)
        finally:
            self._slots.release()

    def _run(self, build_id: str) -> bool:
        claim = None if self._stopping.is_set() else self._builds.claim(self._options.owner, build_id)
        if claim is None:
            return False
        log = self._logs.write(build_id)
        if claim.attempt > 1:
            log(f"attempt {claim.attempt}: the worker of the one before was lost")
        lease = Lease(self._builds, claim, lambda: log.size)
        with self._lock:
            self._leases.add(lease)
        try:
            with lease, log:
                end = self._attempt(claim, lease, log)
            end()
        finally:
            with self._lock:
                self._leases.discard(lease)
        return True

    def _attempt(self, claim: Claim, lease: Lease, log: BuildLog) -> Callable[[], object]:
        """How the build ends, to be written once its lease is not renewed any more."""
        scratch = self._options.scratch / secrets.token_hex(8)
        _log.info("build %s: attempt %d for %s", claim.build.id, claim.attempt, claim.build.target)
        try:
            scratch.mkdir(mode=0o700)
            outcome = self._building(self._request(claim, scratch), log, lease.cancelled)
        except FlyteBuildError as error:
            return self._failed(claim, lease, _failure_of(error, log))
        except Exception as error:  # noqa: BLE001 - whatever breaks, the build ends and the worker lives
            _log.exception("build %s: the builder broke", claim.build.id)
            return self._failed(claim, lease, BuildFailure(sentence=f"the builder broke: {type(error).__name__}"))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return lambda: self._succeed(claim, outcome)

    def _succeed(self, claim: Claim, outcome: BuildOutcome) -> None:
        _log.info("build %s: %s %s in %.1f s", claim.build.id, outcome.status, outcome.reference, outcome.seconds)
        self._builds.succeed(claim, outcome)

    def _failed(self, claim: Claim, lease: Lease, failure: BuildFailure) -> Callable[[], object]:
        _log.info("build %s: %s", claim.build.id, failure.sentence)
        if lease.asked:
            return lambda: self._builds.cancelled(claim)
        if self._stopping.is_set():
            return lambda: self._builds.give_back(claim)
        return lambda: self._builds.fail(claim, failure)

    def _request(self, claim: Claim, scratch: Path) -> BuildRequest:
        build = claim.build
        spec = self._store.read(ObjectKey.parse(build.spec_object), _MAX_SPEC)
        context = scratch / "context.tar.gz" if build.context_object else None
        changed = hashlib.sha256(spec).hexdigest() != build.spec_sha256
        if context is not None:
            changed |= self._store.fetch(ObjectKey.parse(build.context_object), context) != build.context_sha256
        if changed:
            raise ServiceError("the uploaded spec or context is not what was asked to be built", hint="build again")
        return BuildRequest(
            spec=spec,
            context=context,
            target=build.target,
            project=build.project,
            domain=build.domain,
            force=build.force,
        )


def _failure_of(error: FlyteBuildError, log: BuildLog) -> BuildFailure:
    sentence = f"{error.sentence}; {error.hint}" if error.hint else error.sentence
    if not isinstance(error, BuildFailed):
        return BuildFailure(sentence=clean(sentence))
    tail = "\n".join(error.log) if error.log else log.tail(_TAIL_BYTES)
    return BuildFailure(sentence=clean(sentence), step=clean(error.step), log=clean(tail)[-_TAIL_BYTES:].strip())
