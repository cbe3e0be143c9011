"""A whole service on a free port, with a double that builds; and its parts without one."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.worker.oidc import Idp, idp

from flyte_build.builder.engine import BuildEvent
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildOutcome, BuildRequest, LogSink
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.serve import ServeSettings, serve

if TYPE_CHECKING:
    from tests.worker.guarded import Guarded

REFERENCE = f"127.0.0.1:5000/demo/image@sha256:{'a' * 64}"


class Clock:
    """A clock that stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Building:
    """A builder of nothing: writes its lines and steps, then does what the test says (`act`), or succeeds."""

    lines: tuple[str, ...] = ("resolving", "pushing")
    steps: tuple[BuildEvent, ...] = ()
    pushed: int = 0
    act: Callable[[BuildRequest, threading.Event], None] = lambda request, cancelled: None
    requests: list[BuildRequest] = field(default_factory=list)
    contexts: list[bytes] = field(default_factory=list)
    files: list[dict[str, bytes]] = field(default_factory=list)
    lies: bool = False

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome:
        self.requests.append(request)
        if request.places is None:
            self.contexts.append(request.context.read_bytes() if request.context else b"")
        elif request.context is not None:
            self.files.append({file.name: file.read_bytes() for file in request.context.iterdir()})
        for line in self.lines:
            log(line)
        for event in self.steps:
            log.step(event)
        self.act(request, cancelled)
        honest = request.places is not None and not self.lies
        return BuildOutcome(
            reference=REFERENCE,
            spec_digest=f"sha256:{hashlib.sha256(request.spec).hexdigest() if honest else 'b' * 64}",
            status="built",
            seconds=0.1,
            pushed_bytes=self.pushed,
        )


@dataclass(frozen=True)
class Served:
    """A service that listens."""

    url: str
    state: Path
    building: Building
    stop: Callable[[], None]


@pytest.fixture
def building() -> Building:
    return Building()


@pytest.fixture
def serving(tmp_path: Path, building: Building) -> Iterator[Callable[..., Served]]:
    """Starts services on free ports; all are stopped at the end."""
    running: list[tuple[threading.Thread, threading.Event]] = []

    def start(state: Path = tmp_path / "state", **settings: object) -> Served:
        stop, ready, urls = threading.Event(), threading.Event(), list[str]()

        def listening(url: str) -> None:
            urls.append(url)
            ready.set()

        def run() -> None:
            serve(ServeSettings(state=state, **{"port": 0, **settings}), building, stop=stop, ready=listening)  # type: ignore[arg-type]

        thread = threading.Thread(target=run, name="served")
        thread.start()
        running.append((thread, stop))
        assert ready.wait(20), "the service did not start"

        def end() -> None:
            stop.set()
            thread.join(30)
            assert not thread.is_alive(), "the service did not stop"

        return Served(urls[0], state, building, end)

    yield start
    for thread, stop in running:
        stop.set()
        thread.join(30)
        assert not thread.is_alive(), "the service did not stop"


@pytest.fixture
def served(serving: Callable[..., Served]) -> Served:
    return serving()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.create()
    yield database
    database.close()


@pytest.fixture
def builds(database: Database, clock: Clock) -> Builds:
    return Builds(database, Bell(), clock, lease_seconds=30)


@pytest.fixture
def actions(database: Database, clock: Clock) -> Actions:
    return Actions(database, Bell(), clock)


@pytest.fixture
def logs(database: Database, clock: Clock) -> BuildLogs:
    return BuildLogs(database, Bell(), clock)


@pytest.fixture
def issuer() -> Iterator[Idp]:
    with idp() as issuer:
        yield issuer


@pytest.fixture
def guarded(serving: Callable[..., Served], issuer: Idp, tmp_path: Path) -> Guarded:
    from tests.worker.guarded import guarded_by

    return guarded_by(serving, issuer, tmp_path)
