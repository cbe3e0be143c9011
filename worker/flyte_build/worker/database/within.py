"""Only what somebody may see."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import select, true, tuple_

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from flyte_build.worker.database.schema import ActionRow, BuildRow

May = Callable[[str, str], bool]


def everything(project: str, domain: str) -> bool:
    """Lets everything through."""
    del project, domain
    return True


def within(session: Session, rows: type[ActionRow | BuildRow], may: May) -> ColumnElement[bool]:
    """The condition that a row is of a project and domain that `may` lets through."""
    if may("*", "*"):
        return true()
    pairs = session.execute(select(rows.project, rows.domain).distinct()).all()
    seen = [(project, domain) for project, domain in pairs if may(project, domain)]
    return tuple_(rows.project, rows.domain).in_(seen)
