"""The attacker who asks for more than there is, and the SDK's name of an image, which may mean two."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from sqlalchemy import text
from tests.worker.conftest import REFERENCE, Building, Clock, Served
from tests.worker.guarded import guarded_by
from tests.worker.make import new_action, new_build
from tests.worker.oidc import Idp
from tests.worker.plans import asking, begin, made
from tests.worker.services import postgres
from tests.worker.test_build_worker import until
from tests.worker.test_neighbours import build_in

from flyte_build.registry.errors import ServiceError, ServiceQuota
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
    "asked",
    [
        ("q", "development", "demo:tag", ""),
        ("p", "production", "demo:tag", ""),
        ("p", "development", "demo:other", ""),
        ("p", "development", "demo:tag", "linux/arm64"),
        ("p", "development", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_name_means_nothing_elsewhere(builds: Builds, database: Database, asked: tuple[str, str, str, str]) -> None:
    built(builds, 1)
    assert find(database, *asked) is None


def test_what_is_no_spec_of_an_sdks_has_no_name_of_its(builds: Builds, database: Database) -> None:
    built(builds, 1, form="plan")
    assert find(database, "p", "development", "demo:tag", "") is None


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


@pytest.mark.real
def test_a_file_of_another_project_is_refused_and_limits_hold_for_plans(
    serving: Callable[..., Served], issuer: Idp, building: Building, tmp_path: Path
) -> None:
    limits = 'bases = ["registry.test"]\nqueued = 1\nrunning = 1\nbuild_seconds = 7\n'
    guarded = guarded_by(serving, issuer, tmp_path, f'[[project]]\nname = "p"\n{limits}')
    one, url, go = made(tmp_path), guarded.served.url, threading.Event()
    own, theirs = asking(url, "p", issuer.token(sub="alice")), asking(url, "q", issuer.token(sub="bob"))
    sha256 = hashlib.sha256(b"two").hexdigest()
    with pytest.raises(ServiceError, match="was not issued by this store to the project p/development"):
        begin(own, one, target="demo:1", files={sha256: theirs.engine.uploads.text(b"two")})

    building.act = lambda *_: _wait(go)
    own.engine.uploads.files(dict(one.context.files))
    begin(own, one, target="demo:1", timeout=600)
    until(lambda: building.requests)
    begin(own, one, target="demo:2")
    with pytest.raises(ServiceError, match="1 builds of p/development wait already"):
        begin(own, one, target="demo:3")
    with pytest.raises(ConnectError, match="1 builds of p/development wait already") as caught:
        build_in(guarded, "alice", "p", target="demo:4")
    assert caught.value.code is Code.RESOURCE_EXHAUSTED
    assert [(request.timeout, request.guarded) for request in building.requests] == [(7.0, True)]
    go.set()
    until(lambda: len(building.requests) == 2)
    build_in(guarded, "alice", "p", target="demo:4")
    until(lambda: len(building.requests) == 3)
    assert building.requests[2].timeout == 7.0
    with Database(f"sqlite:///{guarded.served.state / 'flyte-build.db'}").read() as session:
        asked = session.execute(text("SELECT form, most_running FROM builds")).all()
    assert sorted(map(tuple, asked)) == [("plan", 1), ("plan", 1), ("spec", 1)]


def _wait(go: threading.Event) -> None:
    assert go.wait(20)
