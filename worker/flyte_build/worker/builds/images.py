"""Images that this service itself built and pushed: what it believes to be there, whoever else may push.

A tag and what an image says of itself prove nothing: whoever may push can write both. So what answers a request without
a build is a digest of ours, and the registry is only asked whether it still has it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.builds.values import Build, BuildState
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import BuildRow, ImageRow, WorkerRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from flyte_build.worker.builds.request import BuildOutcome
    from flyte_build.worker.builds.values import NewBuild
    from flyte_build.worker.database.engine import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a spec was planned with besides its own bytes: the recipe, and what images' names stood for (`digests`)."""

    recipe: int
    digests: tuple[tuple[str, str], ...]

    def encode(self) -> str:
        """As `decode` reads it."""
        return json.dumps({"recipe": self.recipe, "digests": dict(self.digests)}, sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Resolved | None:
        """What a row of ours says; None where it says nothing, as of a build of an earlier release."""
        if not text:
            return None
        document = json.loads(text)
        return cls(recipe=document["recipe"], digests=tuple(sorted(document["digests"].items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An image of ours, and the ended build whose log tells of it. `resolved` is None where a plan was sent.

    `signed`: its signature counts as much as itself.
    """

    reference: str
    signed: bool
    build: Build
    resolved: Resolved | None


def known(session: Session, project: str, image_key: str) -> str:
    """The pinned reference of what was last built of repository and spec digest (`image_key`); empty when nothing was.

    For a project: what its secrets and its cache were part of is no other's.
    """
    return session.scalar(select(ImageRow.reference).filter_by(project=project, image_key=image_key)) or ""


def remember(session: Session, row: BuildRow, outcome: BuildOutcome, now: float) -> None:
    """From now on the image that this build pushed is the known one."""
    if outcome.status == "built" and row.image_key and not row.parent_id:
        session.merge(
            ImageRow(
                project=row.project,
                image_key=row.image_key,
                reference=row.reference,
                built_at=now,
                signed=outcome.signed,
            )
        )


def answer_to(database: Database, new: NewBuild) -> Answer | None:
    """What the very same request was answered with before, if that is an image of ours."""
    with database.read() as session:
        row = _newest(session, project=new.project, domain=new.domain, key=new.key)
        resolved = Resolved.decode(row.bases) if row is not None else None
        return _answer(session, row, resolved) if resolved is not None else None


def answer_of(database: Database, project: str, domain: str, image_key: str) -> Answer | None:
    """The image of a plan that is known, if a build of this project and domain tells of it."""
    with database.read() as session:
        return _answer(session, _newest(session, project=project, domain=domain, image_key=image_key), None)


def _newest(session: Session, **wanted: str) -> BuildRow | None:
    done = select(BuildRow).filter_by(**wanted, state=BuildState.SUCCEEDED.value, parent_id=None)
    return session.scalars(done.order_by(BuildRow.ended_at.desc(), BuildRow.id).limit(1)).first()


def _answer(session: Session, row: BuildRow | None, resolved: Resolved | None) -> Answer | None:
    image = session.get(ImageRow, (row.project, row.image_key)) if row is not None else None
    if row is None or image is None:
        return None
    if not image.signed and session.scalar(select(WorkerRow.owner).where(WorkerRow.signs).limit(1)):
        # It was built before images were signed here: a worker looks at it, and builds it anew.
        return None
    return Answer(reference=image.reference, signed=image.signed, build=value_of(Build, row), resolved=resolved)
