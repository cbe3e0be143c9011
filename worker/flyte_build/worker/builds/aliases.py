"""Images by the name that an SDK gives them (`<name>:<tag>`), from what was really built.

The SDK's tag collides, and whoever asks by it sends neither registry nor platform. So a name means an image only while
everything that was ever built under it in this project is one thing: one target, one spec, one context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.builds.values import BuildState
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import ActionRow, BuildRow
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Action, ActionName

if TYPE_CHECKING:
    from flyte_build.worker.database.engine import Database

_MOST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """What a name means: a pinned reference, what was asked to be built, and the run that asked."""

    reference: str
    target: str
    org: str
    run: ActionName


def sdk_name(target: str) -> str:
    """`<name>:<tag>` of `[<registry>/]<name>:<tag>`."""
    return target.rpartition("/")[2]


def find(database: Database, project: str, domain: str, name: str, platforms: str) -> Alias | None:
    """What `name` means in a project of a service that builds for `platforms`; None when nothing, or not surely."""
    done = select(BuildRow).filter_by(project=project, domain=domain, sdk_name=name, form="spec")
    done = done.where(BuildRow.state == BuildState.SUCCEEDED.value, BuildRow.parent_id.is_(None))
    with database.read() as session:
        rows = session.scalars(done.order_by(BuildRow.ended_at.desc()).limit(_MOST)).all()
        meant = {(row.target, row.spec_sha256, row.context_sha256, row.platforms) for row in rows}
        if len(meant) != 1 or len(rows) == _MOST or rows[0].platforms != platforms or not rows[0].reference:
            return None
        asked = select(ActionRow).where(ActionRow.build_id == rows[0].id, ActionRow.phase == int(Phase.SUCCEEDED))
        run = session.scalars(asked.order_by(ActionRow.id.desc()).limit(1)).first()
        if run is None:
            return None
        action = value_of(Action, run)
        return Alias(reference=rows[0].reference, target=rows[0].target, org=action.org, run=action.full_name)
