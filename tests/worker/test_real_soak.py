"""Everything is killed at random points while clients ask for builds: what was accepted ends in a result, built once.

Half a minute by default; `FLYTE_BUILD_SOAK_SECONDS=600` for longer. The counts are printed (`pytest -s`).
"""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from connectrpc.errors import ConnectError
from tests.conftest import Parts
from tests.worker.deployment import Deployment, Process, deployed
from tests.worker.sdk import ask_for_build
from tests.worker.services import Server, engine, postgres, redis
from tests.worker.test_real_split import spec

pytestmark = pytest.mark.real

SECONDS = float(os.environ.get("FLYTE_BUILD_SOAK_SECONDS", "30"))
CLIENTS = 2


class Chaos:
    """Kills parts, starts them again, and remembers what it killed when."""

    def __init__(self, parts: dict[str, Callable[[], None]], seed: int) -> None:
        self._parts = parts
        self._random = random.Random(seed)
        self.faults: Counter[str] = Counter()

    def until(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            time.sleep(self._random.uniform(1, 5))
            name = self._random.choice(sorted(self._parts))
            self._parts[name]()
            self.faults[name] += 1


class Clients:
    """Ask for images, some of them for the same; who gets no answer asks again, as the SDK does."""

    def __init__(self, url: str, base: str, deadline: float) -> None:
        self._url, self._base, self._deadline = url, base, deadline
        self._lock = threading.Lock()
        self.accepted: list[str] = []

    def run(self, seed: int) -> None:
        chance, prefix = random.Random(seed), uuid.uuid4().hex[:6]
        while time.monotonic() < self._deadline:
            # Another length is another image: one name for both would look like one image that is built twice.
            name, seconds = f"{prefix}-{chance.randrange(1000)}", chance.choice((0, 0, 1, 3))
            target, command = f"soak-{name}-{seconds}:1", f"echo {name}; sleep {seconds}"
            for _ in range(chance.choice((1, 1, 3))):
                self._ask(target, spec(self._base, command))
            time.sleep(chance.uniform(0.2, 1.5))

    def _ask(self, target: str, content: bytes) -> None:
        request = str(uuid.uuid4())
        while True:
            try:
                run = ask_for_build(self._url, content, target, request)
            except (ConnectError, OSError, AssertionError):
                if time.monotonic() > self._deadline + 60:
                    return
                time.sleep(0.3)
                continue
            with self._lock:
                self.accepted.append(run.name)
            return


# Only root can have an engine of its own to kill; anybody else builds on the one that is there.
_PARTS = (postgres, redis, engine) if os.geteuid() == 0 else (postgres, redis)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Server]]:
    started = {make.__name__: make(tmp_path / make.__name__).start() for make in _PARTS}
    yield started
    for server in started.values():
        server.stop()


def killing(process: Process, deaths: dict[int, float]) -> Callable[[], None]:
    def kill() -> None:
        process.kill()
        deaths[process.pid] = time.time()
        process.wait()
        process.start()

    return kill


def restarting(server: Server) -> Callable[[], None]:
    def restart() -> None:
        server.kill()
        server.start()

    return restart


@pytest.mark.timeout(SECONDS + 400)
def test_nothing_is_lost_and_nothing_is_built_twice_at_once(
    tmp_path: Path, parts: Parts, servers: dict[str, Server], fresh_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    where = f"{parts.registry}/{fresh_name}"
    with deployed(tmp_path / "d", where, servers["postgres"], servers["redis"]) as deployment:
        docker = {"DOCKER_HOST": servers["engine"].url} if "engine" in servers else {}
        deaths: dict[int, float] = {}
        killable = {name: restarting(server) for name, server in servers.items()}
        killable["endpoint"] = killing(deployment.endpoint(), deaths)
        for number in range(2):
            killable[f"worker {number}"] = killing(deployment.worker(**docker), deaths)
        deadline = time.monotonic() + SECONDS
        seed = random.randrange(10**9)
        chaos, clients = Chaos(killable, seed), Clients(deployment.url, parts.base, deadline)
        threads = [threading.Thread(target=clients.run, args=(seed + number,)) for number in range(CLIENTS)]
        threads.append(threading.Thread(target=chaos.until, args=(deadline,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deployment.until(lambda: not active(deployment), 240)
        ends = {str(run): phase for run, phase in deployment.ask("SELECT run, phase FROM actions")}
        states = deployment.states()
        reasons = Counter(str(row[0]) for row in deployment.ask("SELECT error FROM builds WHERE state = 'failed'"))
        lost = [run for run in clients.accepted if ends.get(run) not in {5, 6}]
        twice = deployment.together(deaths)
        with capsys.disabled():
            print(f"\nsoak of {SECONDS:g} s (seed {seed}): {len(clients.accepted)} runs accepted, builds {states},")
            print(f"  {sum(chaos.faults.values())} faults {dict(chaos.faults)}, lost {len(lost)}, twice {len(twice)}")
            print(f"  why builds failed: {dict(reasons)}")
        assert (lost, twice) == ([], []), deployment.said()
        assert sum(chaos.faults.values()) > 0
        assert states.get("succeeded", 0) > 0


def active(deployment: Deployment) -> bool:
    return bool(deployment.ask("SELECT 1 FROM builds WHERE state IN ('queued', 'running') LIMIT 1"))
