"""A build that waits says why in its log: nobody builds for its platform, its project's quota, or workers at work."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import TailLogsRequest
from tests.worker.conftest import Building, Clock, Served
from tests.worker.make import new_action, new_build
from tests.worker.sdk import SPEC, ask_for_build, wait_for_end
from tests.worker.services import postgres
from tests.worker.test_build_worker import until
from tests.worker.test_builds_cli import cli

from flyte_build.bundler.endpoint import Endpoint
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.reasons import Hands, Waiting, reasons
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure
from flyte_build.worker.client.builds import BuildsClient
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database

AMD, ARM = "linux/amd64", "linux/arm64"
NOW = 1000.0
NEXT = "this one waits, and is the next"


def waiting(number: int, **changes: object) -> Waiting:
    one = Waiting(
        id=f"b{number}",
        parent_id=None,
        project="p",
        domain="d",
        platforms=AMD,
        most_running=0,
        running=0,
        since=NOW - 10,
        said="",
    )
    return replace(one, **changes)  # type: ignore[arg-type]


def why(line: list[Waiting], *workers: Hands) -> dict[str, str]:
    return {build.id: text for build, text in reasons(line, workers, NOW, patience=30)}


BUSY, FREE = Hands(platforms=AMD, free=0), Hands(platforms=AMD, free=1)


def test_who_waits_for_busy_workers_is_told_how_many_are_before_it() -> None:
    said = why([waiting(number) for number in range(130)], BUSY)
    assert said["b0"] == f"all workers are busy: {NEXT}"
    assert said["b1"] == "all workers are busy: this one waits, and 1 build is before it"
    assert said["b5"].endswith("5 builds are before it")
    assert len(set(said.values())) == 6 + 5, "0 to 5, more than 5, 10, 20, 50, 100"
    assert said["b129"].endswith("more than 100 builds are before it")


def test_who_waits_for_its_projects_turn_is_told_the_quota_and_counts_for_nobody_else() -> None:
    limited = {"most_running": 2, "running": 2}
    line = [waiting(0, **limited), waiting(1, **limited), waiting(2, project="q")]
    whose = "p/d runs as many builds as it may (2 of 2)"
    assert why(line, FREE) == {
        "b0": f"{whose}: {NEXT}",
        "b1": f"{whose}: this one waits, and 1 of its builds is before it",
    }
    assert why(line, BUSY)["b2"] == f"all workers are busy: {NEXT}"


def test_only_builds_and_workers_of_its_platform_count() -> None:
    line = [waiting(0), waiting(1, platforms=ARM), waiting(2, platforms=""), waiting(3, platforms=ARM)]
    said = why(line, FREE, Hands(platforms=ARM, free=-1))
    assert said == {
        "b1": f"all workers for {ARM} are busy: {NEXT}",
        "b3": f"all workers for {ARM} are busy: this one waits, and 2 builds are before it",
    }


def test_a_part_is_called_by_its_platform() -> None:
    said = why([waiting(0, parent_id="whole", platforms=ARM)], Hands(platforms="", free=0))
    assert said == {"b0": f"all workers are busy: the part for {ARM} waits, and is the next"}


@pytest.mark.parametrize(
    ("build", "workers"),
    [
        pytest.param(waiting(0), (BUSY, FREE), id="a worker is about to take it"),
        pytest.param(waiting(0, since=NOW - 2), (BUSY,), id="it only came"),
        pytest.param(waiting(0, since=NOW - 9), (), id="a worker may be about to come"),
        pytest.param(
            waiting(0, since=NOW - 99, platforms=f"{AMD},{ARM}"), (BUSY, Hands(platforms=ARM, free=1)), id="split"
        ),
    ],
)
def test_nothing_is_said_when(build: Waiting, workers: tuple[Hands, ...]) -> None:
    assert why([build], *workers) == {}


def lines(logs: BuildLogs, build: str) -> list[str]:
    return [line.text for line in logs.view(build).read(0).lines]


def test_a_build_that_nobody_takes_says_why_once_and_again_when_the_reason_is_another(
    builds: Builds, logs: BuildLogs, clock: Clock
) -> None:
    _, arm = builds.submit(new_build(platforms=ARM), new_action("r1"))
    _, amd = builds.submit(new_build(platforms=AMD), new_action("r2"))
    upkeep, other = Upkeep(builds), Upkeep(builds)
    upkeep.once()
    assert lines(logs, arm.id) == [], "a worker may be about to come"
    clock.now += 11
    upkeep.seen("w", AMD, 1)
    for one in (upkeep, other, upkeep):
        one.once()
    (said,) = lines(logs, arm.id)
    assert "--platform linux/arm64" in said
    assert lines(logs, amd.id) == [], "a worker is about to take it"
    clock.now += 31
    upkeep.once()
    assert lines(logs, arm.id)[1:] == [
        "no worker takes builds: they wait until one is started, or has its engine again (its log says why)"
    ]
    upkeep.seen("a", ARM, 1)
    upkeep.once()
    assert len(lines(logs, arm.id)) == 2
    assert builds.waiting(ARM) == (arm.id,)


def test_each_build_behind_a_quota_says_so_and_again_as_it_comes_nearer(
    builds: Builds, logs: BuildLogs, clock: Clock
) -> None:
    asked = []
    for number in range(3):
        clock.now += 1
        wanted = new_build(target=f"n:{number}", most_running=1)
        asked.append(builds.submit(wanted, new_action(f"r{number}"))[1].id)
    upkeep = Upkeep(builds)
    upkeep.seen("w", "", 4)
    first = builds.claim("w", asked[0])
    assert first is not None
    quota = "p/development runs as many builds as it may (1 of 1): "
    behind = f"{quota}this one waits, and 1 of its builds is before it"
    clock.now += 4
    upkeep.once()
    assert [lines(logs, one) for one in asked] == [[], [f"{quota}{NEXT}"], [behind]]
    builds.fail(first, BuildFailure(sentence="no such package"))
    assert builds.claim("w", asked[1])
    upkeep.once()
    assert [lines(logs, one) for one in asked] == [[], [f"{quota}{NEXT}"], [behind, f"{quota}{NEXT}"]]


def test_a_part_that_waits_says_so_in_the_log_of_the_whole_however_much_its_sibling_says(
    builds: Builds, logs: BuildLogs, clock: Clock
) -> None:
    upkeep = Upkeep(builds)
    upkeep.seen("a", AMD, 1)
    upkeep.seen("b", ARM, 0)
    _, whole = builds.submit(new_build(platforms=f"{AMD},{ARM}"), new_action())
    upkeep.split()
    (part,) = builds.waiting(AMD)
    assert builds.claim("a", part)
    clock.now += 4
    for number in range(3):
        logs.append(whole.id, [f'{{"at": 1, "kind": "note", "text": "step {number}"}}'])
        upkeep.once()
    said = f"all workers for {ARM} are busy: the part for {ARM} waits, and is the next"
    assert lines(logs, whole.id) == ["step 0", said, "step 1", "step 2"]


def test_what_came_back_into_the_queue_says_it_again(builds: Builds, logs: BuildLogs, clock: Clock) -> None:
    upkeep = Upkeep(builds)
    upkeep.seen("w", "", 0)
    _, build = builds.submit(new_build(), new_action())
    for _ in range(2):
        clock.now += 4
        upkeep.once()
        claim = builds.claim("w", build.id)
        assert claim is not None
        builds.give_back(claim)
    assert lines(logs, build.id) == [f"all workers are busy: {NEXT}"] * 2


@pytest.mark.real
def test_of_many_that_look_at_once_one_says_it(tmp_path: Path, clock: Clock) -> None:
    """On PostgreSQL, where two transactions really run at once."""
    server = postgres(tmp_path / "p").start()
    try:
        database = Database(server.database("waits").url)
        database.create()
        builds, logs = Builds(database, Bell(), clock), BuildLogs(database, Bell(), clock)
        asked = [builds.submit(new_build(target=f"n:{n}"), new_action(f"r{n}"))[1].id for n in range(40)]
        together = threading.Barrier(8)

        def look() -> None:
            upkeep = Upkeep(builds)
            upkeep.workers()  # has its connection
            together.wait(20)
            upkeep.say_why()

        with ThreadPoolExecutor(8) as pool:
            for turn in range(6):
                clock.now += 31
                if turn % 2:
                    Upkeep(builds).seen("w", "", 0)
                for done in [pool.submit(look) for _ in range(8)]:
                    done.result()
        Upkeep(builds).say_why()
        assert [len(lines(logs, one)) for one in asked] == [6] * 40
        database.close()
    finally:
        server.stop()


def tailed(url: str, run: RunIdentifier) -> list[str]:
    """What the SDK shows of a run's log."""
    with DataProxyServiceClientSync(url) as client:
        request = TailLogsRequest(action_id=ActionIdentifier(run=run, name="a0"))
        answers = list(client.tail_logs(request))
    return [line.message for answer in answers for log in answer.logs for line in log.lines]


@pytest.mark.real
def test_who_watches_a_build_that_waits_reads_why(
    serving: Callable[..., Served], building: Building, capfd: pytest.CaptureFixture[str]
) -> None:
    free = threading.Event()

    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        assert free.wait(60)

    building.act = act
    served = serving(concurrency=1)
    ask_for_build(served.url)
    until(lambda: building.requests, 20)
    second = ask_for_build(served.url, SPEC + b"\x0a\x00", "other:1")
    client = BuildsClient(endpoint=Endpoint.parse(served.url))
    (build,) = client.list({"state": "queued"})
    until(lambda: client.show(str(build["id"]))["waits"], 20)
    text = f"all workers are busy: {NEXT}"
    assert cli(served, "list", "--state", "queued") == 0
    assert capfd.readouterr().out.strip().endswith(text)
    assert cli(served, "show", str(build["id"])) == 0
    assert f"  waits        {text}\n" in capfd.readouterr().out
    assert cli(served, "logs", str(build["id"])) == 0
    assert capfd.readouterr().out == f"{text}\n"
    free.set()
    wait_for_end(served.url, second)
    assert tailed(served.url, second)[0] == f"{text}\n"
    assert client.show(str(build["id"]))["waits"] == ""
