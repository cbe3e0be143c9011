"""`flyte-build worker`: takes builds from the database that an endpoint writes to, until somebody stops it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import LEASE_SECONDS, Builds
from flyte_build.worker.builds.worker import BuildWorker, WorkerOptions, no_trouble
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.patience import create_patiently
from flyte_build.worker.logging import prepare_log
from flyte_build.worker.operating.operating import Operating
from flyte_build.worker.pod_health import telling
from flyte_build.worker.queue import EMBEDDED, Doorbell, Listener
from flyte_build.worker.signals import heard
from flyte_build.worker.state import mark
from flyte_build.worker.stores.choose import store_at
from flyte_build.worker.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.operating.cache import Cache
    from flyte_build.worker.operating.log_lines import Format

_log = logging.getLogger("flyte_build.pod")
_STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """How a worker runs. `state` is for what it does not share (made if missing).

    `store`, `database`, `broker` are those of the endpoint; without a broker builds are looked for every two seconds.
    `platforms` joined by commas, empty for all. `drain` is how many seconds running builds are given at SIGTERM.
    `metrics` is the host and port of its health and metrics, `cache` the build cache beside it.
    `signs`: images are signed. `engine_trouble`: see `WorkerOptions`.
    """

    state: Path
    database: str
    broker: str = ""
    store: str = ""
    concurrency: int = 2
    platforms: str = ""
    lease: float = LEASE_SECONDS
    drain: float = 600.0
    queue_timeout: float = 0.0
    cache: Cache | None = None
    log_format: Format = "text"
    metrics: tuple[str, int] | None = None
    signs: bool = False
    engine_trouble: Callable[[], str] = no_trouble


def work(
    settings: PodSettings,
    building: ImageBuilding,
    *,
    stop: threading.Event | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Works until SIGTERM or SIGINT (in the main thread), or until `stop` is set; `ready` is told the worker's name.

    The first signal lets running builds end, the second puts them back into the queue. Raises InvalidInput for URLs
    that mean nothing, ServiceError when the database does not answer for two minutes, or is of another release.
    """
    prepare_log(settings.log_format)
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    database = Database(settings.database)
    doorbell = Doorbell(settings.broker or EMBEDDED)
    operating = Operating.open("flyte-build-worker")
    store = store_at(settings.store, settings.state, base_url=str, clock=time.time)
    stopping = stop or threading.Event()
    with heard(stopping) as again, _scratch(settings.state, owner) as scratch:
        create_patiently(database, stopping)
        if isinstance(store, LocalStore):
            store.open(receives=False)
        else:
            store.open()
        options = WorkerOptions(
            owner=owner,
            slots=settings.concurrency,
            scratch=scratch,
            platforms=settings.platforms,
            queue_seconds=settings.queue_timeout,
            signs=settings.signs,
            engine_trouble=settings.engine_trouble,
        )
        bell = Bell()
        builds = Builds(database, bell, time.time, settings.lease)
        logs = BuildLogs(database, bell, time.time)
        worker = BuildWorker(builds, store, operating.observed(building), logs, options)
        with _listening(worker, doorbell), telling(settings, operating, database, doorbell, worker.has_engine):
            (ready or _say)(owner)
            stopping.wait()
            _drain(worker, settings.drain, again)
    operating.close()
    doorbell.close()
    database.close()


@contextlib.contextmanager
def _listening(worker: BuildWorker, doorbell: Doorbell) -> Iterator[None]:
    """The worker works, and hears the doorbell."""
    doorbell.answer(worker.wake)
    listener = Listener(doorbell)
    listener.start()
    worker.start()
    try:
        yield
    finally:
        worker.stop(_STOP_SECONDS)
        listener.stop(_STOP_SECONDS)
        with contextlib.suppress(ServiceError):
            worker.gone()
        _log.info("stopped")


def _drain(worker: BuildWorker, seconds: float, again: threading.Event) -> None:
    _log.info("takes no more builds; those that run have %g seconds", seconds)
    deadline = time.monotonic() + seconds
    while not worker.drain(0.2) and time.monotonic() < deadline and not again.is_set():
        pass


def _say(owner: str) -> None:
    _log.info("worker %s is ready", owner)


@contextlib.contextmanager
def _scratch(state: Path, owner: str) -> Iterator[Path]:
    """A folder of this worker's own, gone afterwards; those of workers that were killed are removed too."""
    path = state / "scratch" / owner
    file = path.with_name(f"{owner}.lock")
    with contextlib.ExitStack() as opened:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            mark(state)
            _sweep(path.parent)
            fcntl.flock(opened.enter_context(file.open("w")), fcntl.LOCK_EX)
            opened.callback(file.unlink, missing_ok=True)
            path.mkdir(mode=0o700)
        except OSError as error:
            raise ServiceError(f"the state directory {state} cannot be used: {error.strerror}") from error
        opened.callback(shutil.rmtree, path, ignore_errors=True)
        yield path


def _sweep(root: Path) -> None:
    for left in root.glob("*.lock"):
        with left.open("w") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink(missing_ok=True)
