"""Endpoint and workers as processes of their own, on PostgreSQL and a broker, with real builds."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as WireSpec
from tests.conftest import Parts
from tests.worker.deployment import Deployment, deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import Server, postgres, rabbitmq, redis

from flyte_build.worker.queue import Doorbell, Listener

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = postgres(tmp_path_factory.mktemp("split") / "postgres").start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=[redis, rabbitmq], ids=["Redis", "RabbitMQ"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server: Server = request.param(tmp_path_factory.mktemp("broker") / "b").start()
    yield server
    server.stop()


@pytest.fixture
def deployment(tmp_path: Path, parts: Parts, fresh_name: str, database: Server, broker: Server) -> Iterator[Deployment]:
    own = database.database(fresh_name)
    with deployed(tmp_path / "d", f"{parts.registry}/{fresh_name}", own, broker) as deployment:
        yield deployment


def spec(base: str, *commands: str) -> bytes:
    layers = [{"commands": {"cmd": list(commands)}}] if commands else []
    return bytes(WireSpec(base_image=base, layers=layers).SerializeToString())


def test_builds_are_taken_at_once_and_told_at_once(deployment: Deployment, parts: Parts, fresh_name: str) -> None:
    deployment.endpoint()
    workers = [deployment.worker("--concurrency", "2") for _ in range(2)]
    deployment.until(lambda: len(deployment.ask("SELECT * FROM workers")) == 2)
    time.sleep(1)
    ask_for_build(deployment.url, spec(parts.base, "true"), "warm:1")
    # Longer than asking ten times takes, and not in the engine's cache from the other broker's test.
    same = spec(parts.base, f"sleep 4; echo {fresh_name} > /same")
    runs = [ask_for_build(deployment.url, same, "same:1") for _ in range(10)]
    ends = [wait_for_end(deployment.url, run) for run in runs]
    assert {end.status.phase for end in ends} == {5}, deployment.said()
    assert len([note for note in deployment.began() if note[:2] == ("begin", "same:1")]) == 1, "ten asked, one built"
    again = ask_for_build(deployment.url, same, "same:1")
    assert wait_for_end(deployment.url, again).status.phase == 5
    assert "the queue is not heard" not in "".join(worker.said() for worker in workers)


def test_the_doorbell_rings_every_worker_also_after_the_broker_was_killed_and_wiped(broker: Server) -> None:
    doorbell, woken = Doorbell(broker.url), threading.Event()
    doorbell.answer(woken.set)
    listener = Listener(doorbell)
    listener.start()
    try:
        for _ in range(2):
            deadline = time.monotonic() + 60
            while not woken.wait(0.2):
                doorbell.ring("b")
                assert time.monotonic() < deadline, "nobody heard it"
            broker.kill()
            doorbell.ring("lost")
            broker.start()
            woken.clear()
    finally:
        assert listener.stop(30)
        doorbell.close()


def test_a_broker_that_is_killed_and_wiped_loses_nothing(
    deployment: Deployment, parts: Parts, broker: Server, fresh_name: str
) -> None:
    deployment.endpoint()
    deployment.worker()
    ask_for_build(deployment.url, spec(parts.base, f"sleep 2; echo {fresh_name}"), "slow:1")
    broker.kill()
    try:
        run = ask_for_build(deployment.url, spec(parts.base, "echo down"), "down:1")
        assert wait_for_end(deployment.url, run).status.phase == 5
    finally:
        broker.start()
    deployment.until(lambda: deployment.states() == {"succeeded": 2})
