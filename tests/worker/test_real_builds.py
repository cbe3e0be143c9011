"""Real builds of a split deployment: many who ask for one, one that is cancelled, and a BuildKit that is killed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.worker.deployment import Deployment, deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import Server, engine, postgres
from tests.worker.test_real_faults import clients_of, failure_of, log_of, sleeping
from tests.worker.test_real_split import spec

pytestmark = pytest.mark.real


@pytest.fixture
def deployment(tmp_path: Path, parts: Parts, fresh_name: str) -> Iterator[Deployment]:
    server = postgres(tmp_path / "postgres").start()
    with deployed(tmp_path / "d", f"{parts.registry}/{fresh_name}", server, None) as deployment:
        yield deployment
    server.stop()


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Server]:
    """Not the engine of the other tests: this one is killed."""
    assert os.geteuid() == 0, "only root can have an engine of its own to kill"
    server = engine(tmp_path / "engine").start()
    yield server
    server.stop()


def test_fifty_clients_that_ask_for_one_spec_get_one_build(
    deployment: Deployment, parts: Parts, fresh_name: str
) -> None:
    deployment.endpoint()
    for _ in range(2):
        deployment.worker()
    same = spec(parts.base, f"sleep 8; echo {fresh_name} > /made")
    with ThreadPoolExecutor(50) as pool:
        runs = list(pool.map(lambda _: ask_for_build(deployment.url, same, "same:1"), range(50)))
        ends = list(pool.map(lambda one: wait_for_end(deployment.url, one).status.phase, runs))
    assert len({one.name for one in runs}) == 50
    assert ends == [5] * 50, deployment.said()
    assert deployment.ask("SELECT status, attempts FROM builds") == [("built", 1)]
    assert [note[0] for note in deployment.began()] == ["begin", "end"]


def test_a_build_that_is_cancelled_stops_in_buildkit(deployment: Deployment, parts: Parts) -> None:
    deployment.endpoint()
    worker = deployment.worker()
    # Nobody else on this machine sleeps so long.
    seconds = f"{300 + uuid.uuid4().int % 10**6 / 10**6:.6f}"
    asked = ask_for_build(deployment.url, spec(parts.base, f"exec sleep {seconds}"), "cancelled:1")
    deployment.until(lambda: sleeping(f"sleep {seconds}"))
    ((build,),) = deployment.ask("SELECT id FROM builds")
    done = run("flyte-build", "builds", "cancel", str(build), "--endpoint", deployment.url)
    assert done.code == 0, done.err
    assert failure_of(deployment, asked).status.phase in {6, 7}
    deployment.until(lambda: not sleeping(f"sleep {seconds}"), 20)
    deployment.until(lambda: not clients_of(worker.pid), 20)
    deployment.until(lambda: deployment.states() == {"cancelled": 1}, 20)


def test_buildkit_may_be_killed_while_it_builds(
    deployment: Deployment, parts: Parts, own_engine: Server, fresh_name: str
) -> None:
    assert own_engine.url != os.environ.get("DOCKER_HOST")
    deployment.endpoint()
    deployment.worker(DOCKER_HOST=own_engine.url)
    asked = ask_for_build(deployment.url, spec(parts.base, f"sleep 5; echo {fresh_name} > /made"), "killed:1")
    deployment.until(lambda: "sleep 5" in log_of(deployment))
    own_engine.kill()
    own_engine.start()
    assert wait_for_end(deployment.url, asked).status.phase == 5, deployment.said()
    ((attempts, reference),) = deployment.ask("SELECT attempts, reference FROM builds")
    assert attempts in {2, 3}
    assert run("crane", "digest", str(reference)).code == 0
