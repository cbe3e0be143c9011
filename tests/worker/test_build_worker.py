from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.worker.conftest import Building, Clock
from tests.worker.make import NAME, new_action, new_build

from flyte_build.registry.errors import BuildCancelled, BuildFailed, EngineAway, RegistryDenied
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.plans import Places
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import ACTIVE, Build, NewBuild
from flyte_build.worker.builds.worker import BuildWorker, WorkerOptions
from flyte_build.worker.queue import Doorbell, Listener
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.local import LocalStore


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> LocalStore:
    store = LocalStore(tmp_path / "store", base_url=lambda: "", clock=clock)
    store.open()
    return store


@pytest.fixture
def asked(store: LocalStore) -> NewBuild:
    """A request whose spec and context are in the store."""
    spec, context = (ObjectKey.upload("p", "development", place, "x") for place in ("spec", "context"))
    store.write(spec, b"spec")
    store.write(context, b"context")
    return new_build(
        spec_object=str(spec),
        spec_sha256=hashlib.sha256(b"spec").hexdigest(),
        context_object=str(context),
        context_sha256=hashlib.sha256(b"context").hexdigest(),
    )


@pytest.fixture
def worker(
    tmp_path: Path, builds: Builds, store: LocalStore, building: Building, logs: BuildLogs
) -> Iterator[BuildWorker]:
    options = WorkerOptions(owner="w1", slots=2, scratch=tmp_path / "scratch", poll_seconds=0.05)
    options.scratch.mkdir()
    worker = BuildWorker(builds, store, building, logs, options)
    yield worker
    assert worker.stop(10)
    assert not list(options.scratch.iterdir()), "a build left files behind"


def the_end(builds: Builds, build_id: str) -> Build:
    build = builds.get(build_id)
    assert build is not None
    return build


def test_a_build_gets_what_was_uploaded_and_its_log_is_kept(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building, logs: BuildLogs
) -> None:
    building.lines = ("step \x1b[1m1\x1b[0m", "step 2")
    _, build = builds.submit(asked, new_action())
    run(worker, builds, build.id)
    assert len(building.requests) == 1
    assert (building.requests[0].spec, building.contexts) == (b"spec", [b"context"])
    assert building.requests[0].target == "demo:1"
    assert logs.view(build.id).tail(1000) == "step 1\nstep 2\n"
    assert the_end(builds, build.id).state == "succeeded"


def run(worker: BuildWorker, builds: Builds, build_id: str) -> None:
    worker.start()
    until(lambda: the_end(builds, build_id).state not in ACTIVE)


def raising(error: Exception) -> Callable[[BuildRequest, threading.Event], None]:
    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(
            BuildFailed("it failed", step="RUN x", log=("a", "b\x1b[1m"), hint="fix x"),
            ("it failed; fix x", "RUN x", "a\nb"),
            id="a failing step, with its lines",
        ),
        pytest.param(
            BuildFailed("it failed"), ("it failed", "", "resolving\npushing"), id="a failing step without lines"
        ),
        pytest.param(RegistryDenied("it refuses"), ("it refuses", "", ""), id="a registry that refuses"),
        pytest.param(ZeroDivisionError("secret"), ("the builder broke: ZeroDivisionError", "", ""), id="a bug"),
    ],
)
def test_a_build_fails_with_one_sentence_for(
    worker: BuildWorker,
    builds: Builds,
    asked: NewBuild,
    building: Building,
    error: Exception,
    told: tuple[str, str, str],
) -> None:
    building.act = raising(error)
    _, build = builds.submit(asked, new_action())
    run(worker, builds, build.id)
    ended = the_end(builds, build.id)
    assert ended.state == "failed"
    assert (ended.error, ended.step, ended.error_log) == told


@pytest.mark.parametrize("what", ["spec_object", "context_object"])
@pytest.mark.parametrize("form", ["spec", "plan"])
def test_content_that_is_not_what_was_asked_is_not_built(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building, store: LocalStore, what: str, form: str
) -> None:
    places = ObjectKey.parse(asked.context_object)
    content = Places(base="b").encode() if form == "plan" else b"context"
    store.local_path(places).write_bytes(content)
    asked = replace(asked, form=form, context_sha256=hashlib.sha256(content).hexdigest())
    _, build = builds.submit(asked, new_action())
    other = Places(base="c").encode() if form == "plan" else b"something else"
    store.local_path(ObjectKey.parse(getattr(asked, what))).write_bytes(other)
    run(worker, builds, build.id)
    assert building.requests == []
    assert "not what was asked" in the_end(builds, build.id).error


def test_all_that_was_asked_reaches_the_builder(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building
) -> None:
    wanted = replace(asked, force=True, timeout=7.0, guarded=True, trace="00-1-2-01", platforms="linux/arm64")
    _, build = builds.submit(wanted, new_action())
    run(worker, builds, build.id)
    (request,) = building.requests
    assert (request.project, request.domain, request.build_id) == ("p", "development", build.id)
    assert (request.force, request.timeout, request.guarded) == (True, 7.0, True)
    assert (request.trace, request.platforms, request.part) == ("00-1-2-01", ("linux/arm64",), "")
    assert request.until is not None


def test_a_worker_finds_builds_that_nobody_told_it_of(worker: BuildWorker, builds: Builds, asked: NewBuild) -> None:
    worker.start()
    _, build = builds.submit(asked, new_action())
    until(lambda: the_end(builds, build.id).state == "succeeded")


@dataclass
class Engine:
    """An engine that is there or not, and whether somebody asked."""

    down: threading.Event = field(default_factory=threading.Event)
    asked: threading.Event = field(default_factory=threading.Event)

    def trouble(self) -> str:
        self.asked.set()
        return "the engine does not answer" if self.down.is_set() else ""

    def ask_again(self) -> None:
        self.asked.clear()
        assert self.asked.wait(10)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def doubting(
    tmp_path: Path, builds: Builds, store: LocalStore, building: Building, logs: BuildLogs, engine: Engine
) -> Iterator[BuildWorker]:
    options = WorkerOptions(
        owner="w", slots=1, scratch=tmp_path / "s", poll_seconds=0.02, engine_trouble=engine.trouble
    )
    worker = BuildWorker(builds, store, building, logs, options)
    yield worker
    assert worker.stop(10)


def test_a_worker_without_an_engine_takes_nothing_and_is_not_counted_on(
    doubting: BuildWorker, engine: Engine, builds: Builds, asked: NewBuild
) -> None:
    engine.down.set()
    _, build = builds.submit(asked, new_action())
    doubting.start()
    engine.ask_again()
    assert not doubting.has_engine()
    assert Upkeep(builds).workers() == ()
    assert the_end(builds, build.id).attempts == 0
    engine.down.clear()
    until(lambda: the_end(builds, build.id).state == "succeeded")
    assert doubting.has_engine()
    assert Upkeep(builds).workers() == ("w",)


def test_an_engine_that_goes_away_costs_one_attempt_of_what_it_builds(
    doubting: BuildWorker, engine: Engine, builds: Builds, building: Building, asked: NewBuild
) -> None:
    def break_down(request: BuildRequest, cancelled: threading.Event) -> None:
        if request.target == asked.target and not engine.down.is_set():
            building.act = lambda *_: None
            engine.down.set()
            raise EngineAway("the engine went away")

    building.act = break_down
    _, first = builds.submit(asked, new_action("r1"))
    doubting.start()
    until(engine.down.is_set)
    _, second = builds.submit(replace(asked, target="other:1"), new_action("r2"))
    engine.ask_again()
    engine.ask_again()
    assert [the_end(builds, one.id).attempts for one in (first, second)] == [1, 0]
    engine.down.clear()
    until(lambda: the_end(builds, second.id).state == "succeeded")


def wait_for_cancel(request: BuildRequest, cancelled: threading.Event) -> None:
    assert cancelled.wait(10)
    raise BuildCancelled("stopped")


def test_a_worker_that_stops_puts_its_build_back(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building
) -> None:
    building.act = wait_for_cancel
    worker.start()
    _, build = builds.submit(asked, new_action())
    until(lambda: building.requests)
    assert worker.stop(10)
    ended = the_end(builds, build.id)
    assert (ended.state, ended.attempts) == ("queued", 0)


def test_an_aborted_run_stops_its_build(
    worker: BuildWorker, builds: Builds, actions: Actions, asked: NewBuild, building: Building
) -> None:
    building.act = wait_for_cancel
    worker.start()
    action, build = builds.submit(asked, new_action())
    until(lambda: building.requests)
    assert actions.abort(action, "not needed")
    builds.leave(build.id)
    until(lambda: the_end(builds, build.id).state == "cancelled")
    ended = actions.get(NAME)
    assert ended is not None
    assert (ended.phase, ended.abort_reason) == (Phase.ABORTED, "not needed")


def test_a_worker_that_lost_its_lease_stops_and_says_nothing(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building, clock: Clock
) -> None:
    building.act = wait_for_cancel
    _, build = builds.submit(asked, new_action())
    worker.start()
    until(lambda: building.requests)
    clock.now += 31
    Upkeep(builds).expire()
    other = builds.claim("other", build.id)
    assert other is not None
    assert worker.stop(10)
    assert the_end(builds, build.id).owner == "other"


def test_no_more_builds_run_at_once_than_there_are_slots(
    worker: BuildWorker, builds: Builds, asked: NewBuild, building: Building
) -> None:
    free, together = threading.Event(), []

    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        together.append(len(building.requests))
        free.wait(10)

    building.act = act
    worker.start()
    for number in range(5):
        builds.submit(new_build(**{**_fields(asked), "target": f"demo:{number}"}), new_action(f"r{number}"))
    until(lambda: len(building.requests) == 2)
    time.sleep(0.3)
    assert len(building.requests) == 2
    free.set()
    until(lambda: len(building.requests) == 5)
    assert max(together) <= 5


def _fields(asked: NewBuild) -> dict[str, object]:
    return {name: getattr(asked, name) for name in ("spec_object", "spec_sha256", "context_object", "context_sha256")}


def test_the_doorbell_brings_a_build_to_a_worker_and_garbage_does_no_harm() -> None:
    doorbell, woken = Doorbell(), threading.Event()
    doorbell.answer(woken.set)
    worker = Listener(doorbell)
    worker.start()
    try:
        doorbell.app.send_task("flyte_build.unknown", args=[1])
        until(lambda: doorbell.ring("b1") or woken.wait(0.1))  # type: ignore[func-returns-value]
    finally:
        assert worker.stop(10)
    assert [thread.name for thread in threading.enumerate() if "celery" in thread.name] == []


def test_a_broker_that_is_down_is_no_error() -> None:
    Doorbell("amqp://127.0.0.1:1//").ring("b1")
