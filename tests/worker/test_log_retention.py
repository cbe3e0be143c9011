"""Logs of builds that ended long ago make room; what is said of the builds themselves stays."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from tests.worker.conftest import Clock
from tests.worker.make import new_action, new_build

from flyte_build.worker.builds.forgetting import Keep
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.upkeep import Upkeep
from flyte_build.worker.builds.values import BuildFailure
from flyte_build.worker.database.schema import BuildLogRow

DAY = 24 * 3600.0


def portions(builds: Builds) -> int:
    with builds.database.read() as session:
        return session.scalar(select(func.count(BuildLogRow.id))) or 0


def ended(builds: Builds, logs: BuildLogs, number: int, lines: int = 1) -> str:
    _, build = builds.submit(new_build(target=f"demo:{number}"), new_action(f"r{number}"))
    claim = builds.claim("w", build.id)
    assert claim is not None
    for _ in range(lines):
        logs.append(build.id, ['{"at": 1, "kind": "note", "text": "resolving"}'])
    assert builds.fail(claim, BuildFailure(sentence="no such package", log="its last line"))
    return build.id


def test_old_logs_go_and_why_a_build_failed_stays(builds: Builds, logs: BuildLogs, clock: Clock) -> None:
    old = ended(builds, logs, 1)
    _, running = builds.submit(new_build(target="demo:9"), new_action("r9"))
    assert builds.claim("w", running.id)
    logs.append(running.id, ['{"at": 1, "kind": "note", "text": "still going"}'])
    clock.now += 31 * DAY
    new = ended(builds, logs, 2)
    Upkeep(builds, keep=Keep(logs=30 * DAY)).once()
    assert [logs.size(build) > 0 for build in (old, running.id, new)] == [False, True, True]
    found = builds.get(old)
    assert found is not None
    assert (found.error, found.error_log) == ("no such package", "its last line")


@pytest.mark.parametrize("days", [0, 32], ids=["kept for ever", "young enough"])
def test_logs_stay_that_are(builds: Builds, logs: BuildLogs, clock: Clock, days: int) -> None:
    ended(builds, logs, 1)
    clock.now += 31 * DAY
    Upkeep(builds, keep=Keep(logs=days * DAY)).once()
    assert portions(builds) == 1


def test_many_go_a_few_at_a_time_until_none_is_left(builds: Builds, logs: BuildLogs, clock: Clock) -> None:
    ended(builds, logs, 1, lines=250)
    clock.now += 2 * DAY
    upkeep = Upkeep(builds, keep=Keep(logs=DAY))
    left = []
    for _ in range(3):
        upkeep.once()
        left.append(portions(builds))
    assert left == [50, 0, 0]
