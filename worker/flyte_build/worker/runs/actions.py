"""Actions in the database: begin, advance, end. The functions work inside a transaction of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import ActionRow, TransitionRow
from flyte_build.worker.database.within import May, everything, within
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action, ActionName, Failure, Kind, NewAction, Transition

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database

_ENDED = int(Phase.SUCCEEDED)


def find(session: Session, name: ActionName) -> ActionRow | None:
    """The row of an action, or None."""
    return session.scalars(
        select(ActionRow).filter_by(project=name.project, domain=name.domain, run=name.run, name=name.action)
    ).one_or_none()


def begin(session: Session, new: NewAction, now: float, *, build_id: str | None = None) -> ActionRow:
    """Inserts an action in phase QUEUED."""
    row = ActionRow(
        org=new.org,
        project=new.name.project,
        domain=new.name.domain,
        run=new.name.run,
        name=new.name.action,
        kind=new.kind.value,
        request_key=new.request_key,
        build_id=build_id,
        task=new.task,
        run_spec=new.run_spec,
        inputs_object=new.inputs_object,
        phase=int(Phase.QUEUED),
        created_at=now,
        abort_reason="",
        error_code="",
        error_kind="",
        error="",
        outputs=b"",
    )
    session.add(row)
    session.flush()
    session.add(TransitionRow(action_id=row.id, phase=row.phase, at=now))
    return row


def advance(session: Session, row: ActionRow, phase: Phase, now: float) -> bool:
    """Moves an action on and notes when; False when it may not go there (it has ended, or is further)."""
    if not Phase(row.phase).may_become(phase):
        return False
    row.phase = int(phase)
    if phase is Phase.RUNNING:
        row.started_at = now
    if phase.terminal:
        row.ended_at = now
    session.add(TransitionRow(action_id=row.id, phase=int(phase), at=now))
    return True


def fail(session: Session, row: ActionRow, failure: Failure, now: float, *, phase: Phase = Phase.FAILED) -> bool:
    """Ends an action badly."""
    if not advance(session, row, phase, now):
        return False
    row.error, row.error_code, row.error_kind = failure.message, failure.code, failure.kind
    return True


class Actions:
    """Actions by name, one transaction per call; everyone who watches an action is woken when it moves."""

    def __init__(self, database: Database, bell: Bell, clock: Callable[[], float]) -> None:
        self._database = database
        self._bell = bell
        self._clock = clock

    def create(self, new: NewAction) -> Action:
        """Begins an action; the caller checked that there is none of this name."""
        with self._database.write() as session:
            return value_of(Action, begin(session, new, self._clock()))

    def get(self, name: ActionName) -> Action | None:
        """The action of this name."""
        with self._database.read() as session:
            row = find(session, name)
            return None if row is None else value_of(Action, row)

    def by_request(self, request_key: str) -> Action | None:
        """The action that this very request began, if it came before."""
        with self._database.read() as session:
            row = session.scalars(select(ActionRow).filter_by(request_key=request_key)).one_or_none()
            return None if row is None else value_of(Action, row)

    def latest(self, limit: int, project: str = "", domain: str = "", may: May = everything) -> tuple[Action, ...]:
        """The newest actions, of one project or of all; only of those projects and domains that `may` lets through."""
        query = select(ActionRow).order_by(ActionRow.created_at.desc(), ActionRow.id.desc()).limit(limit)
        if project:
            query = query.filter_by(project=project, domain=domain)
        with self._database.read() as session:
            found = session.scalars(query.where(within(session, ActionRow, may)))
            return tuple(value_of(Action, row) for row in found)

    def unfinished(self, kind: Kind) -> tuple[Action, ...]:
        """Everything of this kind that has not ended, oldest first."""
        query = select(ActionRow).where(ActionRow.phase < _ENDED, ActionRow.kind == kind.value)
        with self._database.read() as session:
            return tuple(value_of(Action, row) for row in session.scalars(query.order_by(ActionRow.id)))

    def transitions(self, action: Action) -> tuple[Transition, ...]:
        """The phases that an action went through, in order."""
        query = select(TransitionRow).filter_by(action_id=action.id).order_by(TransitionRow.id)
        with self._database.read() as session:
            return tuple(Transition(phase=Phase(row.phase), at=row.at) for row in session.scalars(query))

    def enter(self, action: Action, phase: Phase) -> bool:
        """The action enters `phase`; False when it has ended meanwhile."""
        with self._database.write() as session:
            moved = advance(session, session.get_one(ActionRow, action.id, with_for_update=True), phase, self._clock())
        self._bell.ring(str(action.full_name))
        return moved

    def succeed(self, action: Action, outputs: bytes) -> None:
        """The action ends well, with its serialized `flyteidl2.task.Outputs`."""
        with self._database.write() as session:
            row = session.get_one(ActionRow, action.id, with_for_update=True)
            if advance(session, row, Phase.SUCCEEDED, self._clock()):
                row.outputs = outputs
        self._bell.ring(str(action.full_name))

    def fail(self, action: Action, failure: Failure, phase: Phase = Phase.FAILED) -> None:
        """The action ends badly."""
        with self._database.write() as session:
            fail(
                session,
                session.get_one(ActionRow, action.id, with_for_update=True),
                failure,
                self._clock(),
                phase=phase,
            )
        self._bell.ring(str(action.full_name))

    def abort(self, action: Action, reason: str) -> bool:
        """The action is stopped by somebody; False when it had ended."""
        with self._database.write() as session:
            row = session.get_one(ActionRow, action.id, with_for_update=True)
            moved = advance(session, row, Phase.ABORTED, self._clock())
            if moved:
                row.abort_reason = reason
        self._bell.ring(str(action.full_name))
        return moved
