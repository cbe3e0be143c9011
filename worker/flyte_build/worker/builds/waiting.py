"""Says in the log of a build that waits why nobody takes it: who asked reads nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.builds.platforms import nobody
from flyte_build.worker.builds.values import BuildState
from flyte_build.worker.database.schema import BuildLogRow, BuildRow, WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

_MOST = 100


def say_why(session: Session, now: float, patience: float) -> list[str]:
    """Notes it for builds that wait for `patience` seconds and that no worker of the last `patience` seconds takes.

    Once: while a build waits nothing else is written, so it is the last thing in its log. The ids of the builds.
    """
    since = (BuildRow.created_at < now - patience) & (BuildRow.not_before < now - patience)
    waits = (BuildRow.state == BuildState.QUEUED.value, BuildRow.parts == 0, BuildRow.parent_id.is_(None), since)
    kinds = session.scalars(select(BuildRow.platforms).where(*waits).distinct()).all()
    if not kinds:
        return []
    workers = session.scalars(select(WorkerRow.platforms).where(WorkerRow.seen_at >= now - patience)).all()
    told: list[str] = []
    last = select(BuildLogRow.entries).where(BuildLogRow.build_id == BuildRow.id)
    last = last.order_by(BuildLogRow.id.desc()).limit(1)
    for kind, why in ((kind, nobody(kind, workers)) for kind in kinds):
        if not why:
            continue
        silent = last.scalar_subquery()
        query = select(BuildRow.id).where(*waits, BuildRow.platforms == kind)
        query = query.where(or_(silent.is_(None), ~silent.contains(why, autoescape=True))).limit(_MOST)
        for build_id in session.scalars(query.with_for_update(skip_locked=True)).all():
            # Somebody else may have said it while we waited for the row.
            said = session.scalar(last.correlate(None).where(BuildRow.id == build_id))
            if why not in (said or ""):
                entry = Entry(at=now, kind="note", text=why).encode()
                session.add(BuildLogRow(build_id=build_id, bytes=len(entry) + 1, entries=entry))
                told.append(build_id)
    return told
