"""Which images the service's database still needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest, Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Digests, and tags of one repository (as spec digests give them), that something refers to."""

    digests: frozenset[Digest] = frozenset()
    tags: frozenset[str] = frozenset()


def needed_by(url: str, repository: Repository) -> Needed:
    """What deployed tasks, runs that have not ended and builds under way refer to (a SQLAlchemy URL).

    Raises InvalidInput for a file that is not there, which asking would make, and ServiceUnavailable or ServiceError
    when the database cannot be asked.
    """
    file = url.partition("?")[0].removeprefix("sqlite:///")
    if file != url.partition("?")[0] and not Path(file).is_file():
        raise InvalidInput(f"there is no database {file}", hint="give the URL that the service has")
    # SQLAlchemy takes long to import, and most who prune have no database.
    from sqlalchemy import select

    from flyte_build.worker.builds.values import BuildState
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.database.schema import ActionRow, BuildRow, TaskRow
    from flyte_build.worker.runs.phases import Phase

    database = Database(url)
    try:
        with database.read() as session:
            texts: list[bytes] = list(session.scalars(select(TaskRow.spec)))
            texts += session.scalars(select(ActionRow.task).where(ActionRow.phase < Phase.SUCCEEDED.value))
            under_way = (BuildState.QUEUED.value, BuildState.RUNNING.value)
            active = select(BuildRow.target).where(BuildRow.state.in_(under_way))
            texts += [target.encode() for target in session.scalars(active)]
    finally:
        database.close()
    return references_in(texts, repository)


def references_in(texts: Iterable[bytes], repository: Repository) -> Needed:
    """Every reference to an image of the repository in serialized tasks. Pure.

    A task holds its image as text, wherever in its message that is; whatever looks like a digest counts, so that too
    much is kept rather than too little.
    """
    # What stands before and after a text in a serialized message may be a letter too.
    tag = re.compile(re.escape(str(repository).encode()) + rb":([0-9a-f]{40})")
    digest = re.compile(rb"sha256:([0-9a-f]{64})")
    digests: set[Digest] = set()
    tags: set[str] = set()
    for text in texts:
        digests.update(Digest("sha256", found.decode()) for found in digest.findall(text))
        tags.update(found.decode() for found in tag.findall(text))
    return Needed(digests=frozenset(digests), tags=frozenset(tags))
