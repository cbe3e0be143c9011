"""What of ended builds goes, and when: first their logs, later their rows and the runs that asked for them.

The newest success of a request and of an image stays for ever: the same request is answered with it, and names of the
SDK's mean it. A container's run stays too, for its outputs are somebody's results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import aliased

from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.database.schema import ActionRow, BuildLogRow, BuildRow, TransitionRow
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Kind

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from flyte_build.worker.database.engine import Database

# Portions of a log are 64 KiB each, rows much less; a transaction deletes so many at most.
_MOST = 200
# Who is newest is asked of all rows, a second's work for a hundred thousand: for so many transactions at once.
_TRANSACTIONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many seconds logs of ended builds are kept, and builds with their runs; 0 is for ever."""

    logs: float = 0.0
    builds: float = 0.0


def forget(database: Database, keep: Keep, now: float) -> bool:
    """Removes a few of each, in short transactions that do no harm beside others; whether there may be more."""
    more = False
    if keep.logs:
        with database.write() as session:
            more |= _logs(session, _ended_before(now - keep.logs)) == _MOST
    if keep.builds:
        # Who is newest is asked without holding up anybody; what is not the newest now will never be.
        with database.read() as session:
            old = _past(session, now - keep.builds, _MOST * _TRANSACTIONS)
        with database.write() as session:
            more |= _runs(session, now - keep.builds) == _MOST
        for first in range(0, len(old), _MOST):
            with database.write() as session:
                more |= _builds(session, old[first : first + _MOST]) == _MOST
    return more


def _ended_before(when: float) -> ColumnElement[bool]:
    return BuildRow.state.not_in(ACTIVE) & (BuildRow.ended_at < when)


def _past(session: Session, when: float, limit: int) -> tuple[str, ...]:
    """The ids of builds that may go: not the newest success of anything, no part of a build that goes on."""
    whole = aliased(BuildRow)
    success = (BuildRow.state == BuildState.SUCCEEDED.value) & BuildRow.parent_id.is_(None)
    of = (BuildRow.project, BuildRow.domain, BuildRow.key, BuildRow.image_key)
    place = func.row_number().over(partition_by=of, order_by=(BuildRow.ended_at.desc(), BuildRow.id))
    newest = select(BuildRow.id, place.label("place")).where(success).subquery()
    kept = select(newest.c.id).where(newest.c.place == 1)
    goes_on = exists().where(whole.id == BuildRow.parent_id, whole.state.in_(ACTIVE))
    waited_for = exists().where(ActionRow.build_id == BuildRow.id, ActionRow.phase < int(Phase.SUCCEEDED))
    query = select(BuildRow.id).where(_ended_before(when), BuildRow.id.not_in(kept), ~goes_on, ~waited_for)
    return tuple(session.scalars(query.order_by(BuildRow.ended_at).limit(limit)))


def _runs(session: Session, when: float) -> int:
    """Runs of builds that ended so long ago, also of builds that stay."""
    old = (ActionRow.kind == Kind.BUILD.value, ActionRow.phase >= int(Phase.SUCCEEDED), ActionRow.ended_at < when)
    found = session.scalars(select(ActionRow.id).where(*old).limit(_MOST).with_for_update(skip_locked=True)).all()
    session.execute(delete(TransitionRow).where(TransitionRow.action_id.in_(found)))
    session.execute(delete(ActionRow).where(ActionRow.id.in_(found)))
    return len(found)


def _builds(session: Session, old: tuple[str, ...]) -> int:
    """Those whose log is gone and that no run refers to; who begins one meanwhile holds the row."""
    if _logs(session, BuildRow.id.in_(old)):
        return _MOST
    referred = exists().where(ActionRow.build_id == BuildRow.id)
    query = select(BuildRow.id).where(BuildRow.id.in_(old), ~referred)
    found = session.scalars(query.with_for_update(skip_locked=True)).all()
    session.execute(delete(BuildRow).where(BuildRow.id.in_(found), ~referred))
    return len(found)


def _logs(session: Session, of: ColumnElement[bool]) -> int:
    old = select(BuildLogRow.id).join(BuildRow, BuildRow.id == BuildLogRow.build_id).where(of).limit(_MOST)
    found = session.scalars(old).all()
    session.execute(delete(BuildLogRow).where(BuildLogRow.id.in_(found)))
    return len(found)
