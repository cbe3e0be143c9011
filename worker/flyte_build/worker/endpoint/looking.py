"""What the endpoint looks at for `/readyz` and `/metrics`: its database, broker, store, registry, and the workers."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from flyte_build.registry.names import Repository
from flyte_build.worker.builds.values import ACTIVE, BuildState
from flyte_build.worker.database.schema import BuildRow, WorkerRow
from flyte_build.worker.operating.readiness import Checks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyte_build.worker.access.gate import Gate
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.operating.readiness import Check
    from flyte_build.worker.queue import Doorbell
    from flyte_build.worker.stores.store import Store

# A worker says every two seconds that it lives.
_SILENT_SECONDS = 15.0


def queue_of(database: Database, clock: Callable[[], float]) -> tuple[Mapping[str, int], float]:
    """How many builds are in which active state, and how long the oldest in the queue waits, in seconds."""
    counted = select(BuildRow.state, func.count()).where(BuildRow.state.in_(ACTIVE)).group_by(BuildRow.state)
    oldest = select(func.min(BuildRow.created_at)).where(BuildRow.state == BuildState.QUEUED.value)
    with database.read() as session:
        counts = {row[0]: row[1] for row in session.execute(counted)}
        since = session.scalar(oldest)
    return counts, 0.0 if since is None else max(0.0, clock() - since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """A worker that lives: what it builds (joined by commas; empty: all), and whether it signs that."""

    platforms: str
    signs: bool


def living(database: Database, clock: Callable[[], float]) -> tuple[Living, ...]:
    """The workers of the last seconds, in the order in which they were started."""
    alive = select(WorkerRow.platforms, WorkerRow.signs).where(WorkerRow.seen_at >= clock() - _SILENT_SECONDS)
    with database.read() as session:
        found = session.execute(alive.order_by(WorkerRow.started_at, WorkerRow.owner)).all()
    return tuple(Living(platforms=row[0], signs=row[1]) for row in found)


def checks_of(database: Database, doorbell: Doorbell, store: Store, gate: Gate, registry: str) -> Checks:
    """What `/readyz` asks. A `registry` that is not known is not asked."""

    def database_answers() -> bool:
        with database.read() as session:
            session.execute(select(1))
        return True

    def store_answers() -> bool:
        deque(islice(store.held(), 1))
        return True

    checks: dict[str, Check] = {
        "database": database_answers,
        "broker": lambda: doorbell.embedded or doorbell.answers(),
        "store": store_answers,
        "access": gate.sound,
        "worker": lambda: bool(living(database, time.time)),
    }
    if registry:
        checks["registry"] = _registry(registry)
    return Checks(checks)


def _registry(place: str) -> Check:
    def answers() -> bool:
        # What a push asks first, of a repository that nobody has: no answer is an error, "there is none" is an answer.
        from flyte_build.registry.client import RegistryClient
        from flyte_build.registry.names import ImageName

        RegistryClient().manifests.find(ImageName(Repository.parse(f"{place}/flyte-build-readiness"), "none"))
        return True

    return answers
