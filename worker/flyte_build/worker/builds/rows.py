"""Rows of builds, inside a transaction of the caller."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flyte_build.worker.builds.task import image_outputs
from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.database.schema import ActionRow, BuildRow
from flyte_build.worker.runs.actions import advance
from flyte_build.worker.runs.phases import Phase

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.values import Claim, NewBuild


def active(session: Session, new: NewBuild) -> BuildRow | None:
    """The active build that answers this request too, or None."""
    query = select(BuildRow).where(BuildRow.state.in_(ACTIVE), BuildRow.cancel_requested.is_(False))
    return session.scalars(query.filter_by(project=new.project, domain=new.domain, key=new.key)).one_or_none()


def insert(session: Session, new: NewBuild, now: float) -> BuildRow:
    """A new build in the queue, or the one that another process inserted meanwhile."""
    row = BuildRow(
        id=uuid.uuid4().hex,
        project=new.project,
        domain=new.domain,
        key=new.key,
        target=new.target,
        spec_object=new.spec_object,
        spec_sha256=new.spec_sha256,
        context_object=new.context_object,
        context_sha256=new.context_sha256,
        force=new.force,
        state=BuildState.QUEUED.value,
        attempts=0,
        owner="",
        lease_until=0,
        cancel_requested=False,
        created_at=now,
        log_bytes=0,
        reference="",
        spec_digest="",
        status="",
        error="",
        step="",
        error_log="",
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        # Another endpoint inserted the same build between our look and our insert: join it.
        found = active(session, new)
        if found is None:
            raise
        return found
    return row


def held(session: Session, claim: Claim) -> BuildRow | None:
    """The build of a claim, locked, or None when the claim does not hold any more."""
    return session.scalars(
        select(BuildRow)
        .filter_by(id=claim.build.id, state=BuildState.RUNNING.value, owner=claim.owner, attempts=claim.attempt)
        .with_for_update()
    ).one_or_none()


def waiting(session: Session, row: BuildRow) -> list[ActionRow]:
    """The actions that wait for this build."""
    unfinished = ActionRow.phase < int(Phase.SUCCEEDED)
    return list(session.scalars(select(ActionRow).where(ActionRow.build_id == row.id, unfinished)))


def succeeded(session: Session, action: ActionRow, reference: str, now: float) -> None:
    """Ends an action with the image's reference."""
    if advance(session, action, Phase.SUCCEEDED, now):
        action.outputs = image_outputs(reference)
