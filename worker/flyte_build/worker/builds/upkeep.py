"""What somebody has to look after every few seconds: dead workers, builds that wait too long, builds to be split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from flyte_build.worker.builds import ends
from flyte_build.worker.builds.forgetting import Keep, forget
from flyte_build.worker.builds.logs import bell_of
from flyte_build.worker.builds.parts import split_queued
from flyte_build.worker.builds.records import MAX_ATTEMPTS
from flyte_build.worker.builds.values import BuildFailure, BuildState
from flyte_build.worker.builds.waiting import say_why
from flyte_build.worker.database.schema import BuildRow, WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.records import Builds

_FORGET_SECONDS = 24 * 3600.0
_LOOK_AGAIN_SECONDS = 3600.0


class Upkeep:
    """Every worker and every endpoint does it; whoever comes second finds nothing to do.

    `queue_seconds` is how long a build may wait for a worker (0: for ever), `keep` what is kept of those that ended.
    """

    def __init__(self, builds: Builds, queue_seconds: float = 0.0, keep: Keep | None = None) -> None:
        self._builds = builds
        self._queue_seconds = queue_seconds
        self._keep = keep or Keep()
        self._forgot_at = float("-inf")

    def once(self) -> None:
        """All of it."""
        self.expire()
        self.overdue()
        self.split()
        self.say_why()
        self.forget()

    def expire(self, dead: str = "") -> None:
        """Puts builds back whose worker does not renew its claim; fails those that lost too many workers.

        A worker whose name begins with `dead` is known to be gone, and its lease is not waited for.
        """
        now = self._builds.clock()
        gone = BuildRow.lease_until < now
        if dead:
            gone |= BuildRow.owner.startswith(dead, autoescape=True)
        lost = select(BuildRow).where(BuildRow.state == BuildState.RUNNING.value, gone)
        woken: list[str] = []
        with self._builds.database.write() as session:
            for row in session.scalars(lost.with_for_update(skip_locked=True)).all():
                woken += _lost(session, row, now)
            if dead:
                session.execute(delete(WorkerRow).where(WorkerRow.owner.startswith(dead, autoescape=True)))
        self._builds.bell.ring(*woken)

    def overdue(self) -> None:
        """Fails builds that no worker took for too long."""
        now, limit = self._builds.clock(), self._queue_seconds
        if not limit:
            return
        # What came back after it was tried, or has only to be joined, waits since then.
        since = (BuildRow.created_at < now - limit, BuildRow.not_before < now - limit)
        late = select(BuildRow).where(BuildRow.state == BuildState.QUEUED.value, *since)
        woken: list[str] = []
        with self._builds.database.write() as session:
            for row in session.scalars(late.with_for_update(skip_locked=True)).all():
                sentence = _overdue(row, limit)
                woken += ends.fail(session, row, BuildFailure(sentence=sentence), now)
        self._builds.bell.ring(*woken)

    def forget(self) -> None:
        """Removes what is old, a little at a time, so that nobody waits; looks once an hour when nothing is left."""
        now = self._builds.clock()
        if now - self._forgot_at >= _LOOK_AGAIN_SECONDS and not forget(self._builds.database, self._keep, now):
            self._forgot_at = now

    def split(self) -> None:
        """Splits builds for several platforms where there are workers for each."""
        now = self._builds.clock()
        with self._builds.database.write() as session:
            split = split_queued(session, now, now - self._builds.lease_seconds)
            woken = [name for row in split for name in ends.running(session, row, now)]
        self._builds.bell.ring(*woken)

    def say_why(self) -> None:
        """Says in the logs of builds that wait why they do."""
        told = say_why(self._builds.database, self._builds.clock(), self._builds.lease_seconds)
        self._builds.bell.ring(*map(bell_of, told))

    def seen(self, owner: str, platforms: str, slots: int, *, signs: bool = False) -> None:
        """The worker `owner` lives."""
        now = self._builds.clock()
        with self._builds.database.write() as session:
            row = session.get(WorkerRow, owner)
            if row is None:
                row = WorkerRow(owner=owner, platforms=platforms, slots=slots, started_at=now, seen_at=now, signs=signs)
                session.add(row)
                session.execute(delete(WorkerRow).where(WorkerRow.seen_at < now - _FORGET_SECONDS))
            else:
                row.seen_at = now

    def gone(self, owner: str) -> None:
        """The worker `owner` stops."""
        with self._builds.database.write() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.owner == owner))

    def workers(self) -> tuple[str, ...]:
        """The names of the workers that live."""
        alive = WorkerRow.seen_at >= self._builds.clock() - self._builds.lease_seconds
        with self._builds.database.read() as session:
            return tuple(session.scalars(select(WorkerRow.owner).where(alive).order_by(WorkerRow.owner)))


def _overdue(row: BuildRow, limit: float) -> str:
    if row.most_running:
        why = f"its project runs at most {row.most_running} at once, or no worker for it was free"
    else:
        why = f"no worker for {row.platforms or 'it'} was free; ask again, or start one with `flyte-build worker`"
    return f"the build waited for {limit:g} seconds: {why}"


def _lost(session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
    if row.cancel_requested:
        return ends.fail(session, row, BuildFailure(sentence=ends.CANCELLED), now, state=BuildState.CANCELLED)
    if row.attempts >= MAX_ATTEMPTS:
        sentence = f"the worker that built this image died {row.attempts} times, and it is not tried again"
        return ends.fail(session, row, BuildFailure(sentence=sentence), now)
    if row.parts:
        ends.back(row, now)
        return ()
    return ends.requeue(session, row, now)
