"""Which build is next: of those that a worker can do, fairly between projects."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import func, or_, select

from flyte_build.worker.builds.quota import may_run
from flyte_build.worker.builds.values import BuildState
from flyte_build.worker.database.schema import BuildRow

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

_Query = TypeVar("_Query", bound="Select[object]")


def covers(worker: str, build: str) -> bool:
    """Whether a worker for these platforms can do a build for those; platforms are joined by commas, none is all."""
    return not worker or not build or set(build.split(",")) <= set(worker.split(","))


def next_in_line(session: Session, platforms: str, now: float, limit: int) -> tuple[str, ...]:
    """The ids in the queue that a worker for `platforms` can take now, in line.

    A project that runs as many as it may waits. Joining finished parts is work for anybody.
    """
    queued = BuildRow.state == BuildState.QUEUED.value
    kinds = session.scalars(select(BuildRow.platforms).where(queued).distinct()).all()
    doable = or_(BuildRow.platforms.in_([kind for kind in kinds if covers(platforms, kind)]), BuildRow.parts > 0)
    query = in_line(select(BuildRow.id), doable, BuildRow.not_before <= now, may_run())
    return tuple(session.scalars(query.limit(limit)))


def in_line(query: _Query, *such: ColumnElement[bool]) -> _Query:
    """What `query` selects of the builds in the queue that are `such`, the next one first.

    A project's place in line is the number of its builds that run or wait before: one with two hundred in the queue
    does not keep another's first one waiting.
    """
    place = func.row_number().over(
        partition_by=(BuildRow.project, BuildRow.domain), order_by=(BuildRow.created_at, BuildRow.id)
    )
    running = (
        select(BuildRow.project, BuildRow.domain, func.count().label("builds"))
        .where(BuildRow.state == BuildState.RUNNING.value)
        .group_by(BuildRow.project, BuildRow.domain)
        .subquery()
    )
    theirs = (running.c.project == BuildRow.project) & (running.c.domain == BuildRow.domain)
    return (
        query.outerjoin_from(BuildRow, running, theirs)
        .where(BuildRow.state == BuildState.QUEUED.value, *such)
        .order_by(place + func.coalesce(running.c.builds, 0), BuildRow.created_at, BuildRow.id)
    )
