"""`flyte-build serve`: the endpoint with its embedded worker, in one process, until somebody stops it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import uvicorn

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.forgetting import Keep
from flyte_build.worker.builds.records import LEASE_SECONDS
from flyte_build.worker.builds.worker import no_trouble
from flyte_build.worker.endpoint.app import application
from flyte_build.worker.endpoint.assembly import Place, Service
from flyte_build.worker.endpoint.guards import Names
from flyte_build.worker.endpoint.place import announced, check_host, check_tls, listening, locked
from flyte_build.worker.logging import prepare_log
from flyte_build.worker.signals import heard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.operating.cache import Cache
    from flyte_build.worker.operating.log_lines import Format

_log = logging.getLogger("flyte_build.serve")
_DRAIN_SECONDS = 5
# The database has as many connections, and some more for workers.
_THREADS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How the endpoint is served. `port` 0 takes a free one; `registry` is only shown; `state` is made if missing.

    `store` is where uploads are kept (see `store_at`), `database` and `broker` are URLs; empty: `state` and this
    process do it all. `platforms` (joined by commas) are built where a request names none. Times are in seconds.
    `build_task`: whether builds are answered here, or by the task that somebody registered.
    `keep_logs`, `keep_builds`: how long they are kept after the builds ended, 0 for ever.
    `cache` is the build cache beside the embedded worker. `access` is the rules file of who may; without one only
    loopback is listened on. `tls` is a certificate chain and its key (PEM).
    `signs`, `engine_trouble`: see `WorkerOptions`. `secrets`: see `Place`.
    """

    host: str = "127.0.0.1"
    port: int = 8090
    state: Path
    registry: str = ""
    public_url: str | None = None
    concurrency: int = 2
    no_worker: bool = False
    store: str = ""
    access: Path | None = None
    tls: tuple[Path, Path] | None = None
    database: str = ""
    broker: str = ""
    platforms: str = ""
    lease: float = LEASE_SECONDS
    queue_timeout: float = 0.0
    keep_logs: float = 0.0
    keep_builds: float = 0.0
    trust_sdk_tags: bool = False
    cache: Cache | None = None
    log_format: Format = "text"
    build_task: Literal["built-in", "registered"] = "built-in"
    signs: bool = False
    secrets: Path | None = None
    engine_trouble: Callable[[], str] = no_trouble

    def __post_init__(self) -> None:
        """InvalidInput for an endpoint that takes no builds and shares no database with a worker."""
        if self.no_worker and not self.database:
            raise InvalidInput(
                "an endpoint without a worker needs a database that workers can reach",
                hint="give --database, like --database postgresql://user:password@host/name",
            )


def serve(
    settings: ServeSettings,
    building: ImageBuilding,
    *,
    stop: threading.Event | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serves until SIGINT or SIGTERM (in the main thread), or until `stop` is set; `ready` is told the URL.

    Raises InvalidInput for a host that is not loopback, ServiceError when the port or the state directory is taken, or
    the database does not answer for two minutes.
    """
    prepare_log(settings.log_format)
    check_host(settings.host, settings.public_url or "", guarded=settings.access is not None)
    check_tls(settings.tls)
    with locked(settings.state), listening(settings.host, settings.port) as listener:
        host, port = listener.getsockname()[:2]
        scheme = "https" if settings.tls else "http"
        url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        public = (settings.public_url or "").rstrip("/")
        names = Names.of(port, public, scheme)
        place = Place(
            state=settings.state.resolve(),
            base_url=public or url,
            containers_url=_containers_url(public),
            store=settings.store,
            registry=settings.registry,
            access=settings.access,
            trust_sdk_tags=settings.trust_sdk_tags,
            database=settings.database,
            broker=settings.broker,
            platforms=settings.platforms,
            lease=settings.lease,
            queue_timeout=settings.queue_timeout,
            keep=Keep(logs=settings.keep_logs, builds=settings.keep_builds),
            cache=None if settings.no_worker else settings.cache,
            built_in=settings.build_task == "built-in",
            signs=settings.signs,
            secrets=settings.secrets,
            engine_trouble=settings.engine_trouble,
        )
        service = Service(place, building, slots=settings.concurrency, worker=not settings.no_worker)
        config = uvicorn.Config(
            application(service.parts, names),
            log_config=None,
            access_log=False,  # its lines carry signed URLs
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
            ssl_certfile=settings.tls[0] if settings.tls else None,
            ssl_keyfile=settings.tls[1] if settings.tls else None,
        )
        stopping = stop or threading.Event()
        with heard(stopping):
            if not service.ready(stopping):
                return
        service.start()
        server = _Server(config, service.release, stopping)
        try:
            with announced(settings.state, url):
                _log.info("listening on %s, images go to %s", url, settings.registry or "what is asked")
                (ready or _say)(public or url)
                server.run(sockets=[listener])
        finally:
            service.release()
            service.stop()
            _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn that ends its streams before it drains, and does not raise the signal again that stopped it."""

    def __init__(self, config: uvicorn.Config, release: Callable[[], None], stop: threading.Event) -> None:
        super().__init__(config)
        self._release = release
        self._stop = stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Calls wait for the database, the store and the registry in threads; asyncio has four more than cores."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "call"))
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._stop.is_set():
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams first: a watcher would otherwise hold the server until it gives up."""
        self._release()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the server; a second one does it without draining."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _containers_url(public_url: str) -> str:
    # A container's loopback is its own, so only a public URL can mean this service in there.
    return "" if not public_url or "localhost" in public_url or "127.0.0.1" in public_url else public_url


def _say(url: str) -> None:
    print(url, flush=True)  # noqa: T201 - the answer of the command, for programs that start it
