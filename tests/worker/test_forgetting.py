"""Old builds and their runs make room; what the service must know of what it pushed stays. On SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.worker.conftest import REFERENCE, Clock
from tests.worker.make import new_action, new_build
from tests.worker.services import postgres

from flyte_build.worker.builds import aliases
from flyte_build.worker.builds.forgetting import Keep, forget
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildOutcome
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.schema import ActionRow, Base, BuildLogRow, BuildRow, TransitionRow
from flyte_build.worker.runs.actions import Actions
from flyte_build.worker.runs.values import Kind

DAY = 24 * 3600.0
KEEP = Keep(builds=90 * DAY)
AMD, ARM = "linux/amd64", "linux/arm64"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.real)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    server = postgres(tmp_path / "p").start() if request.param == "postgres" else None
    database = Database(server.url if server else f"sqlite:///{tmp_path / 'test.db'}")
    database.create()
    yield database
    database.close()
    if server:
        server.stop()


class Past:
    """Makes builds that ended, each a day after the one before."""

    def __init__(self, builds: Builds, logs: BuildLogs, clock: Clock) -> None:
        self.builds, self.logs, self.clock = builds, logs, clock
        self.number = 0

    def ended(self, image: str = "", *, lines: int = 0, **changes: object) -> str:
        """A build that pushed `image`, or failed where it is none; its id."""
        self.number += 1
        self.clock.now += DAY
        _, build = self.builds.submit(new_build(**changes), new_action(f"r{self.number}"))
        claim = self.builds.claim("w", build.id)
        assert claim is not None
        for _ in range(lines):
            self.logs.append(build.id, ['{"at": 1, "kind": "note", "text": "resolving"}'])
        if image:
            self.builds.settle(claim, image)
            done = BuildOutcome(reference=REFERENCE, spec_digest="sha256:b", status="built", seconds=1)
            assert self.builds.succeed(claim, done)
        else:
            assert self.builds.fail(claim, BuildFailure(sentence="no such package"))
        return build.id

    def left(self, *ids: str) -> list[bool]:
        return [self.builds.get(one) is not None for one in ids]

    def count(self, rows: type[Base]) -> int:
        with self.builds.database.read() as session:
            return session.scalar(select(func.count()).select_from(rows)) or 0

    def forget(self, keep: Keep = KEEP) -> None:
        while forget(self.builds.database, keep, self.clock.now):
            pass


@pytest.fixture
def past(database: Database, clock: Clock) -> Past:
    return Past(Builds(database, Bell(), clock), BuildLogs(database, Bell(), clock), clock)


def test_of_what_succeeded_the_newest_stays_and_what_failed_goes_with_its_runs_and_log(past: Past) -> None:
    first, failed = past.ended("r/a@sha256:1"), past.ended(lines=3)
    again, other = past.ended("r/a@sha256:1"), past.ended("r/a@sha256:2")
    past.clock.now += 91 * DAY
    young = past.ended()
    _, waiting = past.builds.submit(new_build(target="demo:9"), new_action("going"))
    past.forget()
    assert past.left(first, failed, again, other, young, waiting.id) == [False, False, True, True, True, True]
    assert (past.count(ActionRow), past.count(BuildLogRow)) == (2, 0)
    assert past.count(TransitionRow) == 4, "three phases of the young one, one of the one that waits"


def test_nothing_goes_before_its_time_or_where_everything_is_kept(past: Past) -> None:
    old = past.ended()
    past.clock.now += 89 * DAY
    past.forget()
    past.clock.now += 1000 * DAY
    past.forget(Keep())
    assert past.left(old) == [True]


def test_a_name_of_the_sdks_that_meant_two_images_does_not_come_to_mean_one(past: Past) -> None:
    past.ended("r/a@sha256:1", spec_sha256="1" * 64)
    past.ended("r/a@sha256:1", spec_sha256="2" * 64)
    past.clock.now += 91 * DAY
    past.forget()
    assert aliases.find(past.builds.database, "p", "development", "demo:1", "") is None
    assert past.count(BuildRow) == 2


def test_a_part_stays_while_its_whole_waits_for_another_and_goes_with_it(past: Past) -> None:
    upkeep = Upkeep(past.builds)
    upkeep.seen("a", AMD, 1)
    upkeep.seen("b", ARM, 1)
    past.builds.submit(new_build(platforms=f"{AMD},{ARM}"), new_action("both"))
    upkeep.split()
    (first,) = past.builds.waiting(AMD)
    claim = past.builds.claim("a", first)
    assert claim is not None
    done = BuildOutcome(reference=REFERENCE, spec_digest="sha256:b", status="built", seconds=1)
    assert past.builds.succeed(claim, done)
    past.clock.now += 91 * DAY
    past.forget()
    assert past.count(BuildRow) == 3
    (second,) = past.builds.waiting(ARM)
    other = past.builds.claim("b", second)
    assert other is not None
    past.builds.fail(other, BuildFailure(sentence="no such package"))
    past.clock.now += 91 * DAY
    past.forget()
    assert past.count(BuildRow) == 0


def test_runs_of_containers_stay(past: Past, clock: Clock) -> None:
    actions = Actions(past.builds.database, Bell(), clock)
    action = actions.create(new_action("container", kind=Kind.CONTAINER))
    actions.succeed(action, b"a result")
    clock.now += 1000 * DAY
    past.forget()
    found = actions.get(action.full_name)
    assert found is not None
    assert found.outputs == b"a result"


def test_many_go_a_few_at_a_time_also_when_several_forget_at_once(past: Past) -> None:
    for number in range(230):
        past.ended(target=f"demo:{number}", lines=number % 3)
    past.clock.now += 91 * DAY
    assert forget(past.builds.database, KEEP, past.clock.now), "there is more"
    assert past.count(ActionRow) == 30
    threads = [threading.Thread(target=past.forget) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [past.count(rows) for rows in (BuildRow, ActionRow, TransitionRow, BuildLogRow)] == [0, 0, 0, 0]


def test_whoever_keeps_house_forgets(past: Past) -> None:
    old = past.ended()
    past.clock.now += 91 * DAY
    Upkeep(past.builds, keep=KEEP).once()
    Upkeep(past.builds, keep=KEEP).once()
    assert past.left(old) == [False]
