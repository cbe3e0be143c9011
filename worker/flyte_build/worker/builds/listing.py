"""Builds as people ask for them: the newest, one of them with its runs, and stopping one for everybody who waits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.builds.values import Build
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import ActionRow, BuildRow
from flyte_build.worker.database.within import May, everything, within
from flyte_build.worker.runs.values import Action

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.runs.actions import Actions

MOST = 1000
# As git has it: of a shorter one it is luck that it means one thing.
SHORTEST = 4
_SHORT = re.compile(rf"[0-9a-f]{{{SHORTEST},32}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which builds: of a project, a domain, in a state (each may be empty), and at most how many."""

    project: str = ""
    domain: str = ""
    state: str = ""
    limit: int = 20


def newest(database: Database, wanted: Wanted, may: May = everything) -> tuple[Build, ...]:
    """The newest builds, the newest first; only of those projects and domains that `may` lets through."""
    given = {key: value for key in ("project", "domain", "state") if (value := getattr(wanted, key))}
    query = select(BuildRow).filter_by(**given).order_by(BuildRow.created_at.desc(), BuildRow.id)
    with database.read() as session:
        query = query.where(within(session, BuildRow, may)).limit(min(wanted.limit, MOST))
        return tuple(value_of(Build, row) for row in session.scalars(query))


def beginning(database: Database, prefix: str, may: May = everything, limit: int = MOST) -> tuple[Build, ...]:
    """The builds whose ids begin with at least `SHORTEST` characters; only of those that `may` lets through."""
    if not _SHORT.fullmatch(prefix):
        return ()
    # Digits of ids come before "g" in every order of texts, and a range finds them by the primary key.
    query = select(BuildRow).where(BuildRow.id.between(prefix, f"{prefix}g"), BuildRow.id.startswith(prefix))
    with database.read() as session:
        query = query.where(within(session, BuildRow, may)).order_by(BuildRow.id).limit(limit)
        return tuple(value_of(Build, row) for row in session.scalars(query))


def runs_of(database: Database, build_id: str) -> tuple[Action, ...]:
    """The runs that asked for a build, the first first."""
    query = select(ActionRow).filter_by(build_id=build_id).order_by(ActionRow.id)
    with database.read() as session:
        return tuple(value_of(Action, row) for row in session.scalars(query.limit(MOST)))


def targets(database: Database, ids: Iterable[str]) -> dict[str, str]:
    """What builds were asked to be pushed as, by id; those that are there."""
    query = select(BuildRow.id, BuildRow.target).where(BuildRow.id.in_(set(ids)))
    with database.read() as session:
        return {row.id: row.target for row in session.execute(query)}


def stop(database: Database, builds: Builds, actions: Actions, build_id: str, reason: str) -> int:
    """Aborts every run that waits for a build, which stops it; how many there were. A part stops with its whole.

    Who asks for the same meanwhile is not stopped with them.
    """
    with database.read() as session:
        build_id = session.scalar(select(BuildRow.parent_id).filter_by(id=build_id)) or build_id
    stopped = sum(actions.abort(action, reason) for action in runs_of(database, build_id))
    builds.leave(build_id)
    return stopped
