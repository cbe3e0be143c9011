"""What is killed, drained, or takes too long in a split deployment: nothing that was accepted is lost."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from tests.conftest import Parts
from tests.worker.deployment import Deployment, Process, deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import Server, answers, postgres, redis
from tests.worker.test_real_split import spec

pytestmark = pytest.mark.real
# A step that a test waits in says `fresh_name`: else the engine has it in its cache, from another test or run, and what
# was to be killed in mid-build has ended long before.


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = postgres(tmp_path_factory.mktemp("faults") / "postgres").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = redis(tmp_path_factory.mktemp("redis") / "r").start()
    yield server
    server.stop()


@pytest.fixture
def deployment(tmp_path: Path, parts: Parts, fresh_name: str, database: Server, broker: Server) -> Iterator[Deployment]:
    own = database.database(fresh_name)
    with deployed(tmp_path / "d", f"{parts.registry}/{fresh_name}", own, broker) as deployment:
        yield deployment


def test_a_worker_that_is_killed_stops_building_and_another_one_ends_it(
    deployment: Deployment, parts: Parts, fresh_name: str
) -> None:
    deployment.endpoint()
    first = deployment.worker()
    run = ask_for_build(deployment.url, spec(parts.base, f"sleep 6; echo {fresh_name} > /made"), "killed:1")
    deployment.until(lambda: "sleep 6" in log_of(deployment))
    first.kill()
    killed = time.time()
    first.wait()
    second = deployment.worker()
    end = wait_for_end(deployment.url, run)
    assert end.status.phase == 5, deployment.said()
    assert deployment.together({first.pid: killed}) == []
    assert deployment.ask("SELECT attempts FROM builds") == [(2,)]
    assert deployment.ask(f"SELECT owner FROM workers WHERE seen_at > {killed}") == [(owner_of(second),)]


def test_a_worker_that_is_stopped_and_not_dead_stops_building_before_another_one_begins(
    deployment: Deployment, parts: Parts, fresh_name: str
) -> None:
    deployment.endpoint()
    first = deployment.worker()
    step = f"sleep 6; echo {fresh_name} > /made"
    run = ask_for_build(deployment.url, spec(parts.base, step), "stopped:1")
    deployment.until(lambda: "sleep 6" in log_of(deployment))
    clients = clients_of(first.pid)
    assert clients
    first.kill(signal.SIGSTOP)
    second = deployment.worker()
    deployment.until(lambda: clients_of(second.pid))
    assert clients & clients_of() == set(), "two build it at once"
    assert wait_for_end(deployment.url, run).status.phase == 5, deployment.said()
    # Who goes on finds that it lost its build, decides nothing, and works on.
    first.kill(signal.SIGCONT)
    deployment.until(lambda: len([note for note in deployment.began() if note[0] == "end"]) == 2)
    assert deployment.ask("SELECT state, attempts, owner FROM builds") == [("succeeded", 2, owner_of(second))]
    second.kill(signal.SIGTERM)
    again = ask_for_build(deployment.url, spec(parts.base, f"echo again {fresh_name}"), "again:1")
    assert wait_for_end(deployment.url, again).status.phase == 5, deployment.said()
    assert "Traceback" not in first.said()


def test_a_build_that_kills_its_worker_three_times_fails_with_that_reason(deployment: Deployment, parts: Parts) -> None:
    deployment.endpoint()
    run = ask_for_build(deployment.url, spec(parts.base, "sleep 60"), "deadly:1")
    for number in range(3):
        worker = deployment.worker()
        deployment.until(lambda wanted=number: len(deployment.began()) > wanted)  # type: ignore[misc]
        worker.kill()
        worker.wait()
    end = failure_of(deployment, run)
    assert end.status.phase == 6
    assert "died 3 times" in end.error_info.message


def test_the_endpoint_may_be_killed_and_the_answer_is_there_when_it_is_back(
    deployment: Deployment, parts: Parts, fresh_name: str
) -> None:
    endpoint = deployment.endpoint()
    deployment.worker()
    run = ask_for_build(deployment.url, spec(parts.base, f"sleep 2; echo {fresh_name}"), "alone:1")
    endpoint.restart()
    deployment.until(lambda: answers(deployment.port))
    assert wait_for_end(deployment.url, run).status.phase == 5


def test_the_database_may_be_killed_while_a_build_runs_and_somebody_watches(
    deployment: Deployment, parts: Parts, database: Server, fresh_name: str
) -> None:
    deployment.endpoint()
    deployment.worker()
    run = ask_for_build(deployment.url, spec(parts.base, f"sleep 3; echo {fresh_name}"), "db:1")
    ends: list[int] = []
    watching = threading.Thread(target=lambda: ends.append(wait_for_end(deployment.url, run).status.phase))
    watching.start()
    deployment.until(lambda: "sleep 3" in log_of(deployment))
    database.kill()
    time.sleep(1)
    database.start()
    watching.join(60)
    assert ends == [5], deployment.said()
    assert deployment.together({}) == []


def test_sigterm_lets_a_build_end_and_the_second_one_puts_it_back(
    deployment: Deployment, parts: Parts, fresh_name: str
) -> None:
    deployment.endpoint()
    worker = deployment.worker()
    run = ask_for_build(deployment.url, spec(parts.base, f"sleep 3; echo {fresh_name}"), "drain:1")
    deployment.until(lambda: "sleep 3" in log_of(deployment))
    worker.kill(signal.SIGTERM)
    later = ask_for_build(deployment.url, spec(parts.base, "sleep 30"), "later:1")
    assert worker.wait(30) == 0, "it ended by itself when its build was done"
    assert wait_for_end(deployment.url, run).status.phase == 5
    assert deployment.states() == {"succeeded": 1, "queued": 1}, "a draining worker takes nothing"
    worker = deployment.worker()
    deployment.until(lambda: "sleep 30" in log_of(deployment))
    for _ in range(2):
        worker.kill(signal.SIGTERM)
        time.sleep(0.5)
    assert worker.wait(30) == 0
    assert deployment.ask("SELECT state, attempts FROM builds WHERE target = 'later:1'") == [("queued", 0)]
    assert "Traceback" not in worker.said()
    del later


def test_a_build_that_takes_too_long_is_stopped_and_one_that_nobody_takes_fails(
    deployment: Deployment, parts: Parts
) -> None:
    deployment.endpoint("--queue-timeout", "5")
    deployment.worker("--build-timeout", "2", "--platform", "linux/amd64")
    deployment.until(lambda: deployment.ask("SELECT * FROM workers"))
    run = ask_for_build(deployment.url, spec(parts.base, "sleep 60"), "long:1")
    end = failure_of(deployment, run)
    assert "longer than 2 seconds" in end.error_info.message
    deployment.until(lambda: not sleeping("sleep 60"), 10)
    deployment.processes[1].kill(signal.SIGTERM)
    waiting = ask_for_build(deployment.url, spec(parts.base, "true"), "nobody:1")
    assert "waited for 5 seconds" in failure_of(deployment, waiting).error_info.message


def failure_of(deployment: Deployment, run: RunIdentifier) -> ActionDetails:
    """Who watches a build fail is told the reason by a cut, and the phase when it watches again."""
    with contextlib.suppress(ConnectError):
        return wait_for_end(deployment.url, run)
    return wait_for_end(deployment.url, run)


def owner_of(worker: Process) -> str:
    """The name that a worker gave itself, as it says when it is ready."""
    found = re.search(r"worker (\S+) is ready", worker.said())
    assert found
    return found[1]


def clients_of(worker: int = 0) -> set[int]:
    """The build clients that a worker (or anybody) runs: their process ids."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if b"\0buildx\0build\0" in (place / "cmdline").read_bytes() and worker in {0, parent}:
                found.add(int(place.name))
    return found


def log_of(deployment: Deployment) -> str:
    return "".join(str(row[0]) for row in deployment.ask("SELECT entries FROM build_log ORDER BY id"))


def sleeping(words: str) -> bool:
    """Whether a process of this machine has these words as its whole command."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if place.read_bytes().replace(b"\0", b" ").strip() == words.encode():
                return True
        except OSError:
            continue
    return False
