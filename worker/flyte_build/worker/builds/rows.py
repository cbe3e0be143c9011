"""Rows of builds, inside a transaction of the caller."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flyte_build.worker.builds.aliases import sdk_name
from flyte_build.worker.builds.task import image_outputs
from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.database.schema import ActionRow, BuildRow
from flyte_build.worker.runs.actions import advance
from flyte_build.worker.runs.phases import Phase

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.values import Claim, NewBuild


def active(session: Session, new: NewBuild) -> BuildRow | None:
    """The active build that answers this request too, locked so that it does not end meanwhile; or None."""
    query = select(BuildRow).where(BuildRow.state.in_(ACTIVE), BuildRow.cancel_requested.is_(False))
    query = query.filter_by(project=new.project, domain=new.domain, key=new.key)
    return session.scalars(query.with_for_update()).one_or_none()


def insert(session: Session, new: NewBuild, now: float) -> BuildRow:
    """A new build in the queue, or the one that another process inserted meanwhile."""
    row = new_row(new, now)
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


def new_row(new: NewBuild, now: float) -> BuildRow:
    """A row in the queue, not yet in the database."""
    return BuildRow(
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
        form=new.form,
        platforms=new.platforms,
        timeout=new.timeout,
        most_running=new.most_running,
        sdk_name=sdk_name(new.target),
        trace=new.trace,
        guarded=new.guarded,
        created_at=now,
        **_blank(),
    )


def _blank() -> dict[str, object]:
    texts = dict.fromkeys(
        ("owner", "reference", "spec_digest", "status", "error", "step", "error_log", "image_key", "failure", "bases"),
        "",
    )
    numbers = dict.fromkeys(("attempts", "lease_until", "parts", "not_before"), 0)
    return {**texts, **numbers, "state": BuildState.QUEUED.value, "cancel_requested": False}


def locked(session: Session, build_id: str) -> BuildRow | None:
    """The build of this id, which nobody else changes until the transaction ends."""
    return session.scalars(select(BuildRow).filter_by(id=build_id).with_for_update()).one_or_none()


def held(session: Session, claim: Claim) -> BuildRow | None:
    """The build of a claim, locked, or None when the claim does not hold any more.

    The build that it is a part of is locked before it, as everybody does.
    """
    if claim.build.parent_id:
        locked(session, claim.build.parent_id)
    return session.scalars(
        select(BuildRow)
        .filter_by(id=claim.build.id, state=BuildState.RUNNING.value, owner=claim.owner, attempts=claim.attempt)
        .with_for_update()
    ).one_or_none()


def waiting(session: Session, row: BuildRow) -> list[ActionRow]:
    """The actions that wait for this build, locked."""
    unfinished = ActionRow.phase < int(Phase.SUCCEEDED)
    query = select(ActionRow).where(ActionRow.build_id == row.id, unfinished).order_by(ActionRow.id)
    return list(session.scalars(query.with_for_update()))


def succeeded(session: Session, action: ActionRow, reference: str, now: float) -> None:
    """Ends an action with the image's reference."""
    if advance(session, action, Phase.SUCCEEDED, now):
        action.outputs = image_outputs(reference)
