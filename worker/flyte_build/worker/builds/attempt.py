"""One attempt at a build: what was asked is fetched and verified, built, and the end is written down."""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from flyte_build.registry.errors import BuildFailed, EngineAway, FlyteBuildError, ServiceError
from flyte_build.worker.builds.lease import Lease
from flyte_build.worker.builds.plans import MAX_PLACES, Places, fetch_files
from flyte_build.worker.builds.request import MAX_SPEC, BuildJoined, BuildRequest
from flyte_build.worker.builds.values import BuildFailure
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.logs import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.worker.builds.log_writer import BuildLog
    from flyte_build.worker.builds.logs import BuildLogs
    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.builds.values import Claim
    from flyte_build.worker.stores.store import Store

_log = logging.getLogger(__name__)
_TAIL_BYTES = 4000
# What was away is there again by then: a BuildKit's container that is restarted takes some ten seconds.
_RETRY_SECONDS = 4.0


class Attempt:
    """A claim, and what becomes of it. `run` blocks until its end is in the database.

    `engine_away`: it ended because the engine did not answer.
    """

    def __init__(self, builds: Builds, store: Store, logs: BuildLogs, claim: Claim, scratch: Path) -> None:
        self._builds = builds
        self._store = store
        self._claim = claim
        self._scratch = scratch / secrets.token_hex(8)
        self._logs = logs
        self._lease = Lease(builds, claim)
        self._giving_back = False
        self.engine_away = False
        self._afterwards: tuple[Callable[[], list[str]], ...] = ()

    def give_back(self) -> None:
        """The worker stops: the build is for another one."""
        self._giving_back = True
        self._lease.cancelled.set()

    def run(self, building: ImageBuilding) -> None:
        """Builds; raises ServiceError only when the end could not be written for as long as the lease was good."""
        build = self._claim.build
        _log.info("build %s: attempt %d for %s", build.id, self._claim.attempt, build.target)
        # What a part says is read where the whole is asked for.
        with self._lease, self._logs.write(build.parent_id or build.id) as log:
            if self._claim.attempt > 1:
                log(f"attempt {self._claim.attempt}")
            end = self._end(building, log)
        self._lease.write(end)
        for job in self._afterwards:
            for note in filter(None, job()):
                _log.warning("build %s: %s", build.id, note)

    def _end(self, building: ImageBuilding, log: BuildLog) -> Callable[[], bool]:
        """How the build ends, to be written once its lease is not renewed any more."""
        build = self._claim.build
        try:
            self._scratch.mkdir(mode=0o700)
            outcome = building(self._request(), log, self._lease.cancelled)
        except BuildJoined:
            _log.info("build %s: another build makes this image now", build.id)
            return lambda: True
        except FlyteBuildError as error:
            return self._failed(error, replace(_failure_of(error, log), kind=type(error).__name__))
        except Exception as error:  # noqa: BLE001 - whatever breaks, the build ends and the worker lives
            _log.exception("build %s: the builder broke", build.id)
            failure = BuildFailure(sentence=f"the builder broke: {type(error).__name__}")
            return lambda: self._builds.fail(self._claim, failure)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        _log.info("build %s: %s %s in %.1f s", build.id, outcome.status, outcome.reference, outcome.seconds)
        self._afterwards = outcome.afterwards
        return lambda: self._builds.succeed(self._claim, outcome)

    def _failed(self, error: FlyteBuildError, failure: BuildFailure) -> Callable[[], bool]:
        self.engine_away = isinstance(error, EngineAway)
        if not self._lease.asked and (self._giving_back or self._lease.lost):
            _log.info("build %s: stopped here, and put back into the queue", self._claim.build.id)
            return lambda: self._builds.give_back(self._claim)
        _log.info("build %s: %s", self._claim.build.id, failure.sentence)
        if self._lease.asked:
            return lambda: self._builds.cancelled(self._claim)
        if error.transient:
            after = _RETRY_SECONDS * 4 ** (self._claim.attempt - 1)
            return lambda: self._builds.retry(self._claim, failure, after)
        return lambda: self._builds.fail(self._claim, failure)

    def _request(self) -> BuildRequest:
        build = self._claim.build
        spec = self._store.read(ObjectKey.parse(build.spec_object), MAX_SPEC)
        self._require_same(hashlib.sha256(spec).hexdigest(), build.spec_sha256)
        places = self._places() if build.form == "plan" else None
        context = self._scratch / "context.tar.gz" if build.context_object else None
        if places is not None:
            context = self._scratch / "files"
            fetch_files(self._store, places, context)
        elif context is not None:
            found = self._store.fetch(ObjectKey.parse(build.context_object), context)
            self._require_same(found, build.context_sha256)
        return BuildRequest(
            spec=spec,
            context=context,
            target=build.target,
            project=build.project,
            domain=build.domain,
            force=build.force,
            places=places,
            platforms=tuple(filter(None, self._claim.whole.split(","))),
            part=build.platforms if build.parent_id else "",
            parts=self._claim.parts,
            timeout=build.timeout,
            settle=self._settle,
            until=self._lease.until,
            build_id=build.id,
            asked_at=build.created_at,
            trace=build.trace,
            guarded=build.guarded,
        )

    def _places(self) -> Places:
        data = self._store.read(ObjectKey.parse(self._claim.build.context_object), MAX_PLACES)
        self._require_same(hashlib.sha256(data).hexdigest(), self._claim.build.context_sha256)
        return Places.decode(data)

    def _require_same(self, found: str, asked: str) -> None:
        if found != asked:
            raise ServiceError("the uploaded spec or context is not what was asked to be built", hint="build again")

    def _settle(self, image_key: str) -> str:
        known = self._builds.settle(self._claim, image_key)
        if known is None:
            raise BuildJoined
        return known


def _failure_of(error: FlyteBuildError, log: BuildLog) -> BuildFailure:
    sentence = clean(f"{error.sentence}; {error.hint}" if error.hint else error.sentence)
    if not isinstance(error, BuildFailed):
        return BuildFailure(sentence=sentence)
    tail = "\n".join(error.log) if error.log else log.tail(_TAIL_BYTES)
    return BuildFailure(sentence=sentence, step=clean(error.step), log=clean(tail)[-_TAIL_BYTES:].strip())
