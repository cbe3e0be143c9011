"""Builds in the database, which is the truth about them: a queue, leases, and the runs that wait for each build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update

from flyte_build.worker.builds import rows
from flyte_build.worker.builds.values import ACTIVE, Build, BuildFailure, BuildState, Claim, Hold, NewBuild
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import ActionRow, BuildRow
from flyte_build.worker.runs.actions import advance, begin, fail
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action, Failure, NewAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.request import BuildOutcome
    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database

MAX_ATTEMPTS = 3


class Builds:
    """Every call is one short transaction; watchers of the runs that wait for a build are woken when it moves."""

    def __init__(self, database: Database, bell: Bell, clock: Callable[[], float], lease_seconds: float = 30) -> None:
        self._database = database
        self._bell = bell
        self._clock = clock
        self._lease = lease_seconds

    @property
    def lease_seconds(self) -> float:
        """How long a claim holds without being renewed."""
        return self._lease

    def submit(self, new: NewBuild, action: NewAction) -> tuple[Action, Build]:
        """Begins a run that waits for this build: an active one of the same key, or a new one in the queue."""
        now = self._clock()
        with self._database.write() as session:
            row = rows.active(session, new) or rows.insert(session, new, now)
            run = begin(session, action, now, build_id=row.id)
            if row.state == BuildState.RUNNING.value:
                advance(session, run, Phase.RUNNING, now)
            return value_of(Action, run), value_of(Build, row)

    def get(self, build_id: str) -> Build | None:
        """The build of this id."""
        with self._database.read() as session:
            row = session.get(BuildRow, build_id)
            return None if row is None else value_of(Build, row)

    def waiting(self, limit: int = 100) -> tuple[str, ...]:
        """The ids in the queue, oldest first."""
        query = select(BuildRow.id).filter_by(state=BuildState.QUEUED.value).order_by(BuildRow.created_at, BuildRow.id)
        with self._database.read() as session:
            return tuple(session.scalars(query.limit(limit)))

    def claim(self, owner: str, build_id: str) -> Claim | None:
        """Takes a build out of the queue for `owner`; None when it is not (any more) in the queue."""
        now = self._clock()
        queued = (BuildRow.id == build_id, BuildRow.state == BuildState.QUEUED.value)
        change = {
            "state": BuildState.RUNNING.value,
            "owner": owner,
            "lease_until": now + self._lease,
            "attempts": BuildRow.attempts + 1,
            "started_at": now,
        }
        with self._database.write() as session:
            if session.execute(update(BuildRow).where(*queued).values(change).returning(BuildRow.id)).first() is None:
                return None
            row = session.get_one(BuildRow, build_id)
            waiting = self._tell(session, row, lambda action: advance(session, action, Phase.RUNNING, now))
            claim = Claim(build=value_of(Build, row), owner=owner, attempt=row.attempts)
        self._bell.ring(*waiting)
        return claim

    def renew(self, claim: Claim, log_bytes: int) -> Hold:
        """Keeps a claim for another lease, and notes how far its log is."""
        with self._database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return Hold(held=False, stop=True)
            row.lease_until, row.log_bytes = self._clock() + self._lease, log_bytes
            return Hold(held=True, stop=row.cancel_requested)

    def succeed(self, claim: Claim, outcome: BuildOutcome) -> bool:
        """The build is done; False when the claim was lost, and then nothing changes."""

        def end(session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
            row.reference, row.spec_digest, row.status = outcome.reference, outcome.spec_digest, outcome.status
            return self._tell(session, row, lambda action: rows.succeeded(session, action, outcome.reference, now))

        return self._end(claim, BuildState.SUCCEEDED, end)

    def fail(self, claim: Claim, failure: BuildFailure) -> bool:
        """The build cannot be done; False when the claim was lost."""
        return self._end(claim, BuildState.FAILED, lambda session, row, now: self._fail(session, row, failure, now))

    def cancelled(self, claim: Claim) -> bool:
        """The build was stopped because somebody asked for it."""
        failure = BuildFailure(sentence="the build was cancelled")
        return self._end(claim, BuildState.CANCELLED, lambda session, row, now: self._fail(session, row, failure, now))

    def give_back(self, claim: Claim) -> bool:
        """Puts the build back into the queue, as if it had not been tried: its worker is stopping."""
        now = self._clock()
        with self._database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return False
            row.attempts -= 1
            waiting = self._requeue(session, row, now)
        self._bell.ring(*waiting)
        return True

    def expire(self, dead: str = "") -> None:
        """Puts builds back whose worker does not renew its claim; fails those that lost too many workers.

        A worker whose name begins with `dead` is known to be gone, and its lease is not waited for.
        """
        now = self._clock()
        gone = BuildRow.lease_until < now
        if dead:
            gone |= BuildRow.owner.startswith(dead, autoescape=True)
        lost = select(BuildRow).where(BuildRow.state == BuildState.RUNNING.value, gone)
        waiting: list[str] = []
        with self._database.write() as session:
            for row in session.scalars(lost.with_for_update(skip_locked=True)).all():
                if row.cancel_requested or row.attempts >= MAX_ATTEMPTS:
                    sentence = f"the worker that built this image died {row.attempts} times, and it is not tried again"
                    row.state, row.ended_at = BuildState.FAILED.value, now
                    waiting += self._fail(session, row, BuildFailure(sentence=sentence), now)
                else:
                    waiting += self._requeue(session, row, now)
        self._bell.ring(*waiting)

    def leave(self, build_id: str) -> None:
        """One of the runs that waited does not any more; the last one to leave stops the build."""
        now = self._clock()
        with self._database.write() as session:
            row = session.get(BuildRow, build_id)
            if row is None or row.state not in ACTIVE or rows.waiting(session, row):
                return
            row.cancel_requested = True
            if row.state == BuildState.QUEUED.value:
                row.state, row.ended_at = BuildState.CANCELLED.value, now

    def _end(self, claim: Claim, state: BuildState, end: Callable[[Session, BuildRow, float], tuple[str, ...]]) -> bool:
        now = self._clock()
        with self._database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return False
            row.state, row.ended_at = state.value, now
            waiting = end(session, row, now)
        self._bell.ring(*waiting)
        return True

    def _requeue(self, session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
        row.state, row.owner, row.lease_until = BuildState.QUEUED.value, "", 0
        return self._tell(session, row, lambda action: advance(session, action, Phase.QUEUED, now))

    def _fail(self, session: Session, row: BuildRow, failure: BuildFailure, now: float) -> tuple[str, ...]:
        row.error, row.step, row.error_log = failure.sentence, failure.step, failure.log
        reason = Failure(message=failure.text, code="ImageBuildFailed", kind="USER")
        return self._tell(session, row, lambda action: fail(session, action, reason, now))

    def _tell(self, session: Session, row: BuildRow, step: Callable[[ActionRow], object]) -> tuple[str, ...]:
        waiting = rows.waiting(session, row)
        for action in waiting:
            step(action)
        return tuple(str(value_of(Action, action).full_name) for action in waiting)
