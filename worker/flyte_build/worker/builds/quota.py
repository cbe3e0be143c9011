"""How many builds a project may have, counted where they are counted for everybody: in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, ScalarSelect, func, or_, select, text
from sqlalchemy.orm import aliased

from flyte_build.registry.errors import ServiceQuota
from flyte_build.worker.builds.values import BuildState
from flyte_build.worker.database.schema import BuildRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.values import NewBuild


def make_room(session: Session, new: NewBuild) -> None:
    """ServiceQuota when the project has as many builds in the queue as it may. A part of a build is none."""
    if not new.most_queued:
        return
    one_at_a_time(session, new.project, new.domain)
    queued = select(func.count(BuildRow.id)).where(_waits(), BuildRow.parent_id.is_(None))
    theirs = (BuildRow.project == new.project, BuildRow.domain == new.domain)
    waiting = session.scalar(queued.where(*theirs)) or 0
    if waiting >= new.most_queued:
        raise ServiceQuota(
            f"{waiting} builds of {new.project}/{new.domain} wait already, and no more may",
            hint="ask again when one of them has begun",
        )


def _waits() -> ColumnElement[bool]:
    """The condition that nobody began to build it. One that was split waits while all of its parts do."""
    part = aliased(BuildRow)
    begun = select(part.id).where(part.parent_id == BuildRow.id, part.state != BuildState.QUEUED.value)
    split = (BuildRow.state == BuildState.RUNNING.value) & (BuildRow.owner == "") & ~begun.exists()
    return or_(BuildRow.state == BuildState.QUEUED.value, split)


def running() -> ScalarSelect[int]:
    """How many builds the project of a build runs. A build that was split runs by its parts."""
    other = aliased(BuildRow)
    theirs = (other.project == BuildRow.project) & (other.domain == BuildRow.domain)
    count = select(func.count()).where(theirs, other.state == BuildState.RUNNING.value, other.owner != "")
    return count.correlate(BuildRow).scalar_subquery()


def may_run() -> ColumnElement[bool]:
    """The condition that a build's project runs fewer builds than it may."""
    return or_(BuildRow.most_running == 0, running() < BuildRow.most_running)


def one_at_a_time(session: Session, project: str, domain: str) -> None:
    """Until the transaction ends nobody else counts in this project: else two would take the last free place.

    SQLite has one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        name = f"flyte-build quota {project}/{domain}"
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})
