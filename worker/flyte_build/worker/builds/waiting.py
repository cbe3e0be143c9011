"""Says in the log of a build why it waits: who asked reads nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import case, func, select

from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.builds.order import in_line
from flyte_build.worker.builds.quota import running
from flyte_build.worker.builds.reasons import Hands, Waiting, reasons
from flyte_build.worker.builds.values import BuildState
from flyte_build.worker.database.schema import BuildLogRow, BuildRow, WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.database.engine import Database

# The part of the queue that is looked at, and how many are told in one transaction.
_LINE = 1000
_MOST = 100


def say_why(database: Database, now: float, patience: float) -> list[str]:
    """Notes it for those whose log does not say so yet (see `reasons`); the ids of the builds whose logs grew.

    Workers live that were seen in the last `patience` seconds.
    """
    with database.read() as session:
        line = _line(session, now)
        workers = _workers(session, now - patience) if line else ()
    new = [(build, why) for build, why in reasons(line, workers, now, patience) if why != build.said][:_MOST]
    if not new:
        return []
    with database.write() as session:
        return [build.parent_id or build.id for build, why in new if _say(session, build, why, now)]


def _line(session: Session, now: float) -> tuple[Waiting, ...]:
    # What was split and is to be joined is work for any worker.
    platforms = case((BuildRow.parts > 0, ""), else_=BuildRow.platforms)
    since = case((BuildRow.not_before > BuildRow.created_at, BuildRow.not_before), else_=BuildRow.created_at)
    whose = (BuildRow.id, BuildRow.parent_id, BuildRow.project, BuildRow.domain, BuildRow.most_running)
    query = select(
        *whose,
        BuildRow.waits.label("said"),
        platforms.label("platforms"),
        since.label("since"),
        running().label("running"),
    )
    found = session.execute(in_line(query, BuildRow.not_before <= now).limit(_LINE))
    return tuple(Waiting(**row) for row in found.mappings())


def _workers(session: Session, alive_since: float) -> tuple[Hands, ...]:
    has = (BuildRow.owner == WorkerRow.owner) & (BuildRow.state == BuildState.RUNNING.value)
    busy = select(func.count()).where(has).correlate(WorkerRow).scalar_subquery()
    query = select(WorkerRow.platforms, WorkerRow.slots - busy).where(WorkerRow.seen_at >= alive_since)
    return tuple(Hands(platforms=platforms, free=free) for platforms, free in session.execute(query))


def _say(session: Session, build: Waiting, why: str, now: float) -> bool:
    """Whether it was said now: not when the build was taken meanwhile, or another process said it.

    A build that somebody holds is told the next time. Nobody is waited for here, so the order of the locks is free.
    """
    log = build.parent_id or build.id
    query = select(BuildRow).where(BuildRow.id.in_({log, build.id}))
    held = {row.id: row for row in session.scalars(query.with_for_update(skip_locked=True))}
    row = held.get(build.id)
    if row is None or log not in held or row.state != BuildState.QUEUED.value or row.waits == why:
        return False
    entry = Entry(at=now, kind="note", text=why).encode()
    session.add(BuildLogRow(build_id=log, bytes=len(entry) + 1, entries=entry))
    row.waits = why
    return True
