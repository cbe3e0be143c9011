"""Builds in the database, which is the truth about them: a queue, leases, and the runs that wait for each build."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from flyte_build.worker.builds import ends, images, rows
from flyte_build.worker.builds.order import next_in_line
from flyte_build.worker.builds.parts import stop_parts, to_join
from flyte_build.worker.builds.quota import make_room, may_run, one_at_a_time
from flyte_build.worker.builds.values import ACTIVE, Build, BuildFailure, BuildState, Claim, Hold, NewBuild
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import BuildRow
from flyte_build.worker.runs.actions import advance, begin
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action, NewAction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.images import Answer
    from flyte_build.worker.builds.request import BuildOutcome
    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database

MAX_ATTEMPTS = 3
LEASE_SECONDS = 30.0


class Builds:
    """Every call is one short transaction; watchers of the runs that wait for a build are woken when it moves."""

    def __init__(
        self, database: Database, bell: Bell, clock: Callable[[], float], lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self.database = database
        self.bell = bell
        self.clock = clock
        self.lease_seconds = lease_seconds

    def submit(self, new: NewBuild, action: NewAction) -> tuple[Action, Build]:
        """Begins a run that waits for this build: an active one of the same key, or a new one in the queue.

        Raises ServiceQuota when its project may not have another one in the queue.
        """
        now = self.clock()
        with self.database.write() as session:
            row = rows.active(session, new)
            if row is None:
                make_room(session, new)
                row = rows.insert(session, new, now)
            run = begin(session, action, now, build_id=row.id)
            if row.state == BuildState.RUNNING.value:
                advance(session, run, Phase.RUNNING, now)
            return value_of(Action, run), value_of(Build, row)

    def answer(self, answer: Answer, action: NewAction) -> Action:
        """Begins a run that has its image already: it ends here, and its log is that of the build that made it."""
        now = self.clock()
        with self.database.write() as session:
            run = begin(session, action, now, build_id=answer.build.id)
            rows.succeeded(session, run, answer.reference, now)
            return value_of(Action, run)

    def get(self, build_id: str) -> Build | None:
        """The build of this id; where it was found to be another's, that one."""
        with self.database.read() as session:
            row = session.get(BuildRow, build_id)
            if row is not None and row.joined_id:
                row = session.get(BuildRow, row.joined_id)
            return None if row is None else value_of(Build, row)

    def waiting(self, platforms: str = "", limit: int = 100) -> tuple[str, ...]:
        """The ids in the queue that a worker for these platforms can take (see `order`), the next one first."""
        with self.database.read() as session:
            return next_in_line(session, platforms, self.clock(), limit)

    def claim(self, owner: str, build_id: str) -> Claim | None:
        """Takes a build out of the queue for `owner`; None when it is not there (any more), or may not run yet."""
        now = self.clock()
        queued = (BuildRow.id == build_id, BuildRow.state == BuildState.QUEUED.value, may_run())
        change = {
            "state": BuildState.RUNNING.value,
            "owner": owner,
            "lease_until": now + self.lease_seconds,
            "attempts": BuildRow.attempts + 1,
        }
        with self.database.write() as session:
            limited = select(BuildRow.project, BuildRow.domain).where(
                BuildRow.id == build_id, BuildRow.most_running > 0
            )
            for project, domain in session.execute(limited):
                one_at_a_time(session, project, domain)
            if session.execute(update(BuildRow).where(*queued).values(change).returning(BuildRow.id)).first() is None:
                return None
            row = session.get_one(BuildRow, build_id)
            parts = to_join(session, row) if row.parts else ()
            row.started_at = row.started_at if parts else now
            woken = ends.running(session, row, now)
            claim = Claim(
                build=value_of(Build, row),
                owner=owner,
                attempt=row.attempts,
                whole=_whole(session, row).platforms,
                parts=parts,
            )
        self.bell.ring(*woken)
        return claim

    def renew(self, claim: Claim) -> Hold:
        """Keeps a claim for another lease."""
        with self.database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return Hold(held=False, stop=True)
            row.lease_until = self.clock() + self.lease_seconds
            return Hold(held=True, stop=row.cancel_requested)

    def settle(self, claim: Claim, image_key: str) -> str | None:
        """Says which image this build makes: what this service pushed of it before (see `images.known`).

        None when another build makes it right now, and then it is that one's: whoever waits for this build waits for
        the other one from then on. None as well when the claim was lost.
        """
        now = self.clock()
        with self.database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return None
            if row.parent_id or _marked(session, row, image_key):
                return images.known(session, row.project, image_key)
            same = select(BuildRow).filter_by(project=row.project, domain=row.domain, image_key=image_key)
            running = same.where(BuildRow.state == BuildState.RUNNING.value, BuildRow.id != row.id)
            other = session.scalars(running.with_for_update()).first()
            if other is None or other.cancel_requested:
                # It ended between the two looks: look again, soon.
                row.attempts -= 1
                woken = ends.requeue(session, row, now, not_before=now + 1)
            else:
                woken = ends.join(session, row, other, now)
        self.bell.ring(*woken)
        return None

    def succeed(self, claim: Claim, outcome: BuildOutcome) -> bool:
        """The build is done; False when the claim was lost, and then nothing changes."""
        return self._end(claim, lambda session, row, now: ends.succeed(session, row, outcome, now))

    def fail(self, claim: Claim, failure: BuildFailure) -> bool:
        """The build cannot be done; False when the claim was lost."""
        return self._end(claim, lambda session, row, now: ends.fail(session, row, failure, now))

    def cancelled(self, claim: Claim) -> bool:
        """The build was stopped because somebody asked for it."""
        failure = BuildFailure(sentence=ends.CANCELLED)
        return self._end(
            claim, lambda session, row, now: ends.fail(session, row, failure, now, state=BuildState.CANCELLED)
        )

    def retry(self, claim: Claim, failure: BuildFailure, after: float) -> bool:
        """What it needs is away for the moment: back into the queue for `after` seconds, or failed if tried enough."""

        def end(session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
            if row.attempts >= MAX_ATTEMPTS:
                return ends.fail(session, row, failure, now)
            return ends.requeue(session, row, now, not_before=now + after)

        return self._end(claim, end)

    def give_back(self, claim: Claim) -> bool:
        """Puts the build back into the queue, as if it had not been tried: its worker is stopping."""

        def end(session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
            row.attempts -= 1
            if claim.parts:
                # Its parts are there still.
                ends.back(row, now)
                return ()
            return ends.requeue(session, row, now)

        return self._end(claim, end)

    def leave(self, build_id: str) -> None:
        """One of the runs that waited does not any more; the last one to leave stops the build."""
        now = self.clock()
        with self.database.write() as session:
            row = rows.locked(session, build_id)
            if row is None or row.parent_id or row.state not in ACTIVE or rows.waiting(session, row):
                return
            row.cancel_requested = True
            stop_parts(session, row, now)
            if not row.owner:
                row.state, row.ended_at = BuildState.CANCELLED.value, now

    def _end(self, claim: Claim, end: Callable[[Session, BuildRow, float], tuple[str, ...]]) -> bool:
        now = self.clock()
        with self.database.write() as session:
            row = rows.held(session, claim)
            if row is None:
                return False
            woken = end(session, row, now)
        self.bell.ring(*woken)
        return True


def _marked(session: Session, row: BuildRow, image_key: str) -> bool:
    """Whether the row is the one that runs for this image now."""
    try:
        with session.begin_nested():
            row.image_key = image_key
    except IntegrityError:
        session.refresh(row)
        return False
    return True


def _whole(session: Session, row: BuildRow) -> BuildRow:
    return (session.get(BuildRow, row.parent_id) if row.parent_id else None) or row
