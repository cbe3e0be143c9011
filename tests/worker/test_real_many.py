"""Two hundred real builds of three projects by two workers: each once, and no project behind another's queue."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as WireSpec
from tests.conftest import Parts
from tests.worker.deployment import Deployment, deployed
from tests.worker.sdk import ask_for_build
from tests.worker.services import Server, postgres, redis

pytestmark = pytest.mark.real
ASKED = {"big": 160, "middle": 30, "small": 10}
SLOTS = 3
# What a worker saw when it chose may have changed when it took: a build ended, another worker took one.
STALE = 2


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Server, Server]]:
    started = postgres(tmp_path / "postgres").start(), redis(tmp_path / "redis").start()
    yield started
    for server in started:
        server.stop()


@pytest.fixture
def deployment(tmp_path: Path, parts: Parts, fresh_name: str, servers: tuple[Server, Server]) -> Iterator[Deployment]:
    with deployed(tmp_path / "d", f"{parts.registry}/{fresh_name}", *servers) as deployment:
        # Two hundred builds on a busy machine: who is slow is not dead.
        deployment.lease = 60
        yield deployment


@dataclass(frozen=True)
class Row:
    """What the database says of a build."""

    project: str
    owner: str
    created_at: float
    started_at: float
    ended_at: float


def ask(deployment: Deployment, base: str, project: str) -> None:
    def one(number: int) -> None:
        layers = [{"env": {"env_variables": {"NUMBER": f"{project} {number}"}}}]
        spec = bytes(WireSpec(base_image=base, layers=layers).SerializeToString())
        ask_for_build(deployment.url, spec, f"{project}:{number}", project=project)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(ASKED[project])))


@pytest.mark.timeout(600)
def test_two_hundred_specs_are_built_once_each_and_projects_take_turns(deployment: Deployment, parts: Parts) -> None:
    deployment.endpoint()
    workers = [deployment.worker("--concurrency", str(SLOTS)) for _ in range(2)]
    deployment.until(lambda: len(deployment.ask("SELECT * FROM workers")) == 2)
    for project in ASKED:
        ask(deployment, parts.base, project)
    deployment.until(lambda: deployment.states() == {"succeeded": 200}, 500)
    columns = "project, owner, created_at, started_at, ended_at"
    rows = [Row(*row) for row in deployment.ask(f"SELECT {columns} FROM builds ORDER BY started_at")]  # type: ignore[arg-type]
    assert deployment.ask("SELECT DISTINCT attempts, status FROM builds") == [(1, "built")]
    begun = [note for note in deployment.began() if note[0] == "begin"]
    assert len(begun) == len({note[1] for note in begun}) == 200
    assert {note[2] for note in begun} == {worker.pid for worker in workers}
    references = [str(row[0]) for row in deployment.ask("SELECT reference FROM builds")]
    assert len(set(references)) == 200
    for reference in references[::40]:
        subprocess.run(("crane", "digest", reference), check=True, capture_output=True)
    no_project_is_passed_over(rows)
    others = [place for place, row in enumerate(rows) if row.project != "big"]
    assert len(rows) - max(others) > 50, "when the last of the others began, many of the first project's waited"


def no_project_is_passed_over(rows: list[Row]) -> None:
    """Who is next is of the project that runs the fewest: at no start did another one that waited run less."""
    for row in rows:
        at = row.started_at
        running = Counter(one.project for one in rows if one.started_at < at < one.ended_at)
        waiting = {one.project for one in rows if one.created_at < at < one.started_at}
        least = min((running[project] for project in waiting), default=running[row.project])
        assert running[row.project] <= least + STALE, (row, running, waiting)
