"""How a build moves on, inside a transaction of the caller. Each says which actions to wake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.worker.builds import rows
from flyte_build.worker.builds.images import remember
from flyte_build.worker.builds.parts import part_succeeded, stop_parts
from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.runs import actions
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action, Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.request import BuildOutcome
    from flyte_build.worker.builds.values import BuildFailure
    from flyte_build.worker.database.schema import ActionRow, BuildRow

CANCELLED = "the build was cancelled"


def tell(session: Session, row: BuildRow, step: Callable[[ActionRow], object]) -> tuple[str, ...]:
    """Does `step` to every action that waits for the build."""
    waiting = rows.waiting(session, row)
    for action in waiting:
        step(action)
    return tuple(str(value_of(Action, action).full_name) for action in waiting)


def running(session: Session, row: BuildRow, now: float) -> tuple[str, ...]:
    """Somebody began to build."""
    return tell(session, row, lambda action: actions.advance(session, action, Phase.RUNNING, now))


def back(row: BuildRow, at: float) -> None:
    """Nobody's, and in the queue since (or from) `at`; what it was split into stays."""
    row.state, row.owner, row.lease_until = BuildState.QUEUED.value, "", 0
    row.not_before, row.image_key, row.waits = at, "", ""


def requeue(session: Session, row: BuildRow, now: float, *, not_before: float = 0.0) -> tuple[str, ...]:
    """Back into the queue; a whole that was split begins anew."""
    back(row, max(now, not_before))
    row.parts = 0
    return tell(session, row, lambda action: actions.advance(session, action, Phase.QUEUED, now))


def succeed(session: Session, row: BuildRow, outcome: BuildOutcome, now: float) -> tuple[str, ...]:
    """The image is there."""
    row.state, row.ended_at = BuildState.SUCCEEDED.value, now
    row.reference, row.spec_digest, row.status = outcome.reference, outcome.spec_digest, outcome.status
    row.bases = outcome.bases
    remember(session, row, outcome, now)
    if row.parent_id:
        part_succeeded(session, row, now)
    return tell(session, row, lambda action: rows.succeeded(session, action, outcome.reference, now))


def fail(
    session: Session, row: BuildRow, failure: BuildFailure, now: float, state: BuildState = BuildState.FAILED
) -> tuple[str, ...]:
    """It cannot be done; neither can the whole of which it is a part, nor are its own parts of use."""
    row.state, row.ended_at = state.value, now
    row.error, row.step, row.error_log = failure.sentence, failure.step, failure.log
    row.failure = failure.kind
    stop_parts(session, row, now)
    reason = Failure(message=failure.text, code="ImageBuildFailed", kind="USER")
    told = tell(session, row, lambda action: actions.fail(session, action, reason, now))
    whole = rows.locked(session, row.parent_id) if row.parent_id else None
    if whole is not None and whole.state in ACTIVE:
        told += fail(session, whole, failure, now, state)
    return told


def join(session: Session, row: BuildRow, other: BuildRow, now: float) -> tuple[str, ...]:
    """The build turned out to be another's: who waits for it waits for that one from now on."""
    row.state, row.ended_at, row.joined_id, row.image_key = BuildState.JOINED.value, now, other.id, ""

    def move(action: ActionRow) -> None:
        action.build_id = other.id

    return tell(session, row, move)
