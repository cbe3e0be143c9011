"""The attacker who asks for more than there is, and the SDK's name of an image, which may mean two."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.worker.conftest import REFERENCE, Clock
from tests.worker.make import new_action, new_build
from tests.worker.services import postgres

from flyte_build.registry.errors import ServiceQuota
from flyte_build.worker.builds.aliases import find
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildOutcome
from flyte_build.worker.builds.values import NewBuild
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database


def submit(builds: Builds, number: int, **changes: object) -> str:
    return builds.submit(new_build(target=f"demo:{number}", **changes), new_action(f"r{number}"))[1].id


def test_a_project_has_no_more_builds_in_the_queue_than_it_may(builds: Builds) -> None:
    ids = [submit(builds, number, most_queued=2) for number in range(2)]
    with pytest.raises(ServiceQuota, match="2 builds of p/development wait"):
        submit(builds, 2, most_queued=2)
    assert builds.submit(new_build(target="demo:0", most_queued=2), new_action("again"))[1].id == ids[0], "joining"
    submit(builds, 3, most_queued=2, project="q")
    submit(builds, 5, most_queued=2, domain="production")
    assert builds.claim("w", ids[0])
    submit(builds, 4, most_queued=2)


def test_a_project_runs_no_more_builds_than_it_may_and_others_go_on(builds: Builds) -> None:
    mine = [submit(builds, number, most_running=1) for number in range(3)]
    other = submit(builds, 9, project="q", most_running=1)
    beside = submit(builds, 8, domain="production", most_running=1)
    claim = builds.claim("w", mine[0])
    assert claim is not None
    assert set(builds.waiting()) == {other, beside}
    assert builds.claim("w", mine[1]) is None
    assert builds.claim("w", other) is not None
    assert builds.claim("w", beside) is not None
    assert builds.give_back(claim)
    assert len(set(builds.waiting()) & set(mine)) == 3
    assert builds.claim("w", mine[1]) is not None


def test_a_build_whose_worker_died_gives_its_place_back(builds: Builds, clock: Clock) -> None:
    first, second = (submit(builds, number, most_running=1) for number in range(2))
    builds.claim("w", first)
    assert builds.claim("w", second) is None
    with builds.database.write() as session:
        from flyte_build.worker.builds import rows

        row = rows.locked(session, first)
        assert row is not None
        row.state, row.owner = "queued", ""
    assert builds.claim("w", second) is not None


def built(builds: Builds, number: int, reference: str = REFERENCE, **changes: object) -> None:
    new: NewBuild = new_build(target="ghcr.io/acme/demo:tag", **changes)
    name = new_action(f"b{number}")
    claim = builds.claim("w", builds.submit(new, name)[1].id)
    assert claim is not None
    outcome = BuildOutcome(reference=reference, spec_digest=f"sha256:{'b' * 64}", status="built", seconds=0.1)
    assert builds.succeed(claim, outcome)


def test_an_sdks_name_means_what_was_built_under_it(builds: Builds, database: Database, clock: Clock) -> None:
    assert find(database, "p", "development", "demo:tag", "") is None
    built(builds, 1)
    found = find(database, "p", "development", "demo:tag", "")
    assert found is not None
    assert (found.reference, found.run.run) == (REFERENCE, "b1")
    clock.now += 1
    built(builds, 2, reference=REFERENCE.replace("a" * 64, "c" * 64), force=True)
    newest = find(database, "p", "development", "demo:tag", "")
    assert newest is not None
    assert newest.reference.endswith("c" * 64)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"spec_sha256": "2" * 64}, id="another spec has the same tag"),
        pytest.param({"context_sha256": "2" * 64}, id="other files have the same tag"),
        pytest.param({"target": "quay.io/acme/demo:tag"}, id="it was built for another registry too"),
        pytest.param({"platforms": "linux/arm64"}, id="it was built for other platforms too"),
    ],
)
def test_a_name_that_means_two_things_means_nothing(
    builds: Builds, database: Database, change: dict[str, object]
) -> None:
    built(builds, 1)
    other = new_build(**{"target": "ghcr.io/acme/demo:tag", **change})
    claim = builds.claim("w", builds.submit(other, new_action("b2"))[1].id)
    assert claim is not None
    assert find(database, "p", "development", "demo:tag", "") is not None, "it only runs yet"
    builds.succeed(claim, BuildOutcome(reference=REFERENCE, spec_digest="x", status="built", seconds=1))
    assert find(database, "p", "development", "demo:tag", "") is None


@pytest.mark.parametrize(
    ("project", "name", "platforms"),
    [("q", "demo:tag", ""), ("p", "demo:other", ""), ("p", "demo:tag", "linux/arm64"), ("p", "", ""), ("", "", "")],
)
def test_a_name_means_nothing_elsewhere(
    builds: Builds, database: Database, project: str, name: str, platforms: str
) -> None:
    built(builds, 1)
    assert find(database, project, "development", name, platforms) is None


@pytest.mark.real
def test_two_workers_never_take_the_last_place_of_a_project_together(tmp_path: Path) -> None:
    """On PostgreSQL, where two transactions really run at once."""
    server = postgres(tmp_path / "p").start()
    try:
        database = Database(server.database("quota").url)
        database.create()
        builds = Builds(database, Bell(), time.time)
        ids = [submit(builds, number, most_running=3, most_queued=40) for number in range(12)]
        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda build_id: builds.claim("w", build_id), ids))
            assert sum(claim is not None for claim in claims) == 3
            numbers = range(100, 150)
            asked = list(pool.map(lambda number: _accepted(builds, number), numbers))
        assert sum(asked) == 40 - 9
        database.close()
    finally:
        server.stop()


def _accepted(builds: Builds, number: int) -> bool:
    try:
        submit(builds, number, most_queued=40)
    except ServiceQuota:
        return False
    return True
