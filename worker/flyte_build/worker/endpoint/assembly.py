"""One service, wired: this is the only place that knows which implementation goes where."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from flyte_build.worker.access.gate import gate_of, policies_of
from flyte_build.worker.builds.forgetting import Keep
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import LEASE_SECONDS, Builds
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.worker import BuildWorker, WorkerOptions, no_trouble
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.patience import create_patiently
from flyte_build.worker.endpoint.app import STORE_PATH
from flyte_build.worker.endpoint.echo import Echo
from flyte_build.worker.endpoint.existing import Existing, impatient_client
from flyte_build.worker.endpoint.looking import checks_of, queue_of
from flyte_build.worker.endpoint.parts import Parts, run_log
from flyte_build.worker.operating.operating import Operating
from flyte_build.worker.queue import EMBEDDED, Doorbell, Listener
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.container import Containers
from flyte_build.worker.runs.executor import Executor, ExecutorOptions
from flyte_build.worker.secrets.projects import ProjectSecrets
from flyte_build.worker.stores.choose import store_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.operating.cache import Cache

_log = logging.getLogger(__name__)
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service keeps its state, and where clients reach it; `containers_url` is empty if containers cannot.

    `store` is where uploads go (see `store_at`), `database` and `broker` are URLs; empty: all in the state directory
    and this process. `platforms` (joined by commas) are built where a request names none. Times are in seconds.
    `access` is the rules file of who may (None: whoever reaches it), `registry` the service's own.
    `secrets` are those of projects, None where only workers have them.
    `cache`: see `CacheKeeper`. `built_in`: see `Parts`. `signs`, `engine_trouble`: see `WorkerOptions`.
    """

    state: Path
    base_url: str
    containers_url: str
    store: str = ""
    registry: str = ""
    access: Path | None = None
    database: str = ""
    broker: str = ""
    platforms: str = ""
    lease: float = LEASE_SECONDS
    queue_timeout: float = 0.0
    keep: Keep = field(default_factory=Keep)
    trust_sdk_tags: bool = False
    cache: Cache | None = None
    built_in: bool = True
    signs: bool = False
    secrets: Path | None = None
    engine_trouble: Callable[[], str] = no_trouble

    @property
    def database_url(self) -> str:
        """Where the database is."""
        return self.database or f"sqlite:///{self.state / 'flyte-build.db'}"


class Service:
    """A whole service around its parts: started once, stopped once."""

    def __init__(self, place: Place, building: ImageBuilding, *, slots: int, worker: bool) -> None:
        self._database = Database(place.database_url)
        self._doorbell = Doorbell(place.broker or EMBEDDED)
        self._containers = Containers()
        bell, gate, operating = Bell(), gate_of(place.access), Operating.open("flyte-build-endpoint")
        base = f"{place.base_url}{STORE_PATH}"
        self._store = store_at(place.store, place.state, base_url=lambda: base, clock=time.time)
        actions = Actions(self._database, bell, time.time)
        builds = Builds(self._database, bell, time.time, place.lease)
        build_logs = BuildLogs(self._database, bell, time.time)
        logs = place.state / "logs"
        service, registry = _identity(place.state), impatient_client()
        self._name, self._upkeep = service, Upkeep(builds, place.queue_timeout, place.keep)
        self._executor = Executor(
            actions,
            self._store,
            self._containers,
            partial(run_log, logs),
            ExecutorOptions(service=service, root=place.state / "runs", slots=slots, endpoint=place.containers_url),
        )
        self.parts = Parts(
            database=self._database,
            bell=bell,
            store=self._store,
            actions=actions,
            builds=builds,
            executor=self._executor,
            doorbell=self._doorbell,
            build_logs=build_logs,
            logs=logs,
            clock=time.time,
            gate=gate,
            policies=policies_of(place.registry, place.access),
            platforms=place.platforms,
            registry=registry,
            existing=Existing(self._database, registry),
            trust_sdk_tags=place.trust_sdk_tags,
            secrets=ProjectSecrets(root=place.secrets) if place.secrets else None,
            built_in=place.built_in,
            operating=operating,
            checks=checks_of(self._database, self._doorbell, self._store, gate, place.registry),
        )
        operating.metrics.watch_queue(partial(queue_of, self._database, time.time))
        self._keeper = operating.keeper(place.cache) if worker and place.cache is not None else None
        self._echo = Echo(self._database, bell, self._upkeep)
        watched = operating.observed(building)
        options = WorkerOptions(
            owner=f"{service}-{secrets.token_hex(4)}",
            slots=slots,
            scratch=place.state / "scratch",
            queue_seconds=place.queue_timeout,
            signs=place.signs,
            engine_trouble=place.engine_trouble,
        )
        self._worker = BuildWorker(builds, self._store, watched, build_logs, options) if worker else None
        self._listener = Listener(self._doorbell) if worker else None

    def ready(self, stopping: threading.Event) -> bool:
        """Opens the database when it answers (see `create_patiently`); False when `stopping` was set before."""
        return create_patiently(self._database, stopping)

    def start(self) -> None:
        """Opens the store, takes up what an earlier process left, and begins to work. After `ready`."""
        self._store.open()
        # The state directory is ours alone, so whoever held builds under our name before is dead.
        self._upkeep.expire(dead=f"{self._name}-")
        self._executor.recover()
        self._echo.start()
        if self._worker is not None and self._listener is not None:
            self._doorbell.answer(self._worker.wake)
            self._listener.start()
            self._worker.start()
        if self._keeper is not None:
            self._keeper.start()

    def release(self) -> None:
        """Ends every stream that somebody watches, so that the server can drain."""
        self.parts.stopping.set()
        self.parts.bell.ring_all()

    def stop(self) -> None:
        """Puts builds back into the queue, lets go of containers, and closes the database; bounded in time."""
        deadline = time.monotonic() + _STOP_SECONDS
        stopped = True
        if self._worker is not None and self._listener is not None:
            stopped = self._worker.stop(deadline - time.monotonic())
            stopped &= self._listener.stop(max(1.0, deadline - time.monotonic()))
        self._executor.stop()
        self._echo.stop()
        if not stopped:
            names = sorted(thread.name for thread in threading.enumerate())
            _log.warning("a build did not stop in time; it is put back when its lease ends (%s)", ", ".join(names))
        if self._keeper is not None:
            self._keeper.stop()
        self.parts.checks.close()
        self.parts.operating.close()
        self._doorbell.close()
        self._database.close()


def _identity(state: Path) -> str:
    """A name for this service that outlives its process: it is on the containers that it started."""
    path = state / "id"
    if not path.exists():
        path.write_text(secrets.token_hex(8), encoding="ascii")
    return path.read_text(encoding="ascii").strip()
