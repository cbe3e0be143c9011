"""Builds for several platforms, split over workers: one part a platform, and a join when all are done.

A build that was split is running and nobody's; its last part puts it back into the queue, to be joined by anybody.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.builds import rows
from flyte_build.worker.builds.order import covers
from flyte_build.worker.builds.values import ACTIVE, BuildState, NewBuild, Part
from flyte_build.worker.database.schema import BuildRow, WorkerRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

FOREVER = 1e18


def splittable(platforms: str, workers: Sequence[str]) -> bool:
    """Whether every platform has a worker of its own that cannot do all of them. Pure."""
    parts = platforms.split(",")
    others = [worker for worker in workers if not covers(worker, platforms)]
    return len(parts) > 1 and all(any(covers(worker, part) for worker in others) for part in parts)


def split_queued(session: Session, now: float, alive_since: float) -> list[BuildRow]:
    """Splits what is in the queue for several platforms, where there are workers for each; the builds that were."""
    workers = session.scalars(select(WorkerRow.platforms).where(WorkerRow.seen_at >= alive_since)).all()
    several = BuildRow.platforms.contains(",") & (BuildRow.parts == 0) & (BuildRow.state == BuildState.QUEUED.value)
    found = session.scalars(select(BuildRow).where(several).with_for_update(skip_locked=True)).all()
    split = [row for row in found if splittable(row.platforms, workers)]
    for row in split:
        _split(session, row, now)
    return split


def _split(session: Session, row: BuildRow, now: float) -> None:
    names = row.platforms.split(",")
    row.state, row.owner, row.lease_until = BuildState.RUNNING.value, "", FOREVER
    row.parts, row.started_at, row.waits = len(names), now, ""
    whole = NewBuild(
        project=row.project,
        domain=row.domain,
        target=row.target,
        spec_object=row.spec_object,
        spec_sha256=row.spec_sha256,
        context_object=row.context_object,
        context_sha256=row.context_sha256,
        force=row.force,
        form=row.form,
        timeout=row.timeout,
        most_running=row.most_running,
        trace=row.trace,
        guarded=row.guarded,
    )
    for name in names:
        part = rows.new_row(replace(whole, platforms=name), now)
        # A key of its own: nobody who asks for one platform wants only a part.
        part.key, part.parent_id = f"{row.id}/{name}/{now}", row.id
        session.add(part)


def parts_of(session: Session, row: BuildRow) -> list[BuildRow]:
    """The parts of the present attempt."""
    query = select(BuildRow).where(BuildRow.parent_id == row.id, BuildRow.created_at >= (row.started_at or 0))
    return list(session.scalars(query.order_by(BuildRow.platforms).with_for_update()))


def to_join(session: Session, row: BuildRow) -> tuple[Part, ...]:
    """What there is to be joined."""
    return tuple(
        Part(platforms=part.platforms, reference=part.reference, spec_digest=part.spec_digest)
        for part in parts_of(session, row)
    )


def part_succeeded(session: Session, part: BuildRow, now: float) -> None:
    """The last part that is done puts the whole back into the queue."""
    whole = rows.locked(session, part.parent_id or "")
    if whole is None or whole.state != BuildState.RUNNING.value or whole.owner:
        return
    if all(one.state == BuildState.SUCCEEDED.value for one in parts_of(session, whole)):
        whole.state, whole.lease_until, whole.not_before = BuildState.QUEUED.value, 0, now


def stop_parts(session: Session, row: BuildRow, now: float) -> None:
    """Nobody needs the parts of this build any more."""
    for part in parts_of(session, row) if row.parts else ():
        if part.state in ACTIVE:
            part.cancel_requested = True
        if part.state == BuildState.QUEUED.value:
            part.state, part.ended_at = BuildState.CANCELLED.value, now
