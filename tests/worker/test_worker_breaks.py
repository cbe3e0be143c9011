"""A worker whose own code or machine breaks neither goes on alone nor falls silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.worker.conftest import Building, Clock
from tests.worker.make import new_action, new_build
from tests.worker.test_build_worker import until

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.builds.lease import Lease
from flyte_build.worker.builds.logs import BuildLogs
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.builds.values import Claim, Hold
from flyte_build.worker.builds.worker import BuildWorker, WorkerOptions
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.pod import _scratch
from flyte_build.worker.stores.local import LocalStore


class Breaking(Builds):
    """Breaks where nobody expects it: the first look, and every renewal."""

    looks = 0

    def waiting(self, platforms: str = "", limit: int = 100) -> tuple[str, ...]:
        self.looks += 1
        if self.looks == 1:
            raise ValueError("nobody expects this")
        return super().waiting(platforms, limit)

    def renew(self, claim: Claim) -> Hold:
        raise ValueError(f"nobody expects this of {claim.build.id}")


@pytest.fixture
def breaking(database: Database, clock: Clock) -> Breaking:
    return Breaking(database, Bell(), clock, lease_seconds=0.2)


def test_a_look_that_broke_is_not_the_last_one(
    breaking: Breaking, building: Building, logs: BuildLogs, clock: Clock, tmp_path: Path
) -> None:
    store = LocalStore(tmp_path / "store", base_url=lambda: "", clock=clock)
    store.open()
    options = WorkerOptions(owner="w", slots=1, scratch=tmp_path / "scratch", poll_seconds=0.05)
    worker = BuildWorker(breaking, store, building, logs, options)
    worker.start()
    until(lambda: breaking.looks > 1)
    assert worker.stop(10)


def test_a_lease_that_cannot_be_renewed_stops_the_build_whatever_the_reason(breaking: Breaking) -> None:
    _, build = breaking.submit(new_build(), new_action())
    claim = breaking.claim("w", build.id)
    assert claim is not None
    with Lease(breaking, claim) as lease:
        assert lease.cancelled.wait(10)
        assert (lease.lost, lease.asked) == (True, False)


def test_a_lease_is_over_before_anybody_could_say_so(breaking: Breaking) -> None:
    """Its thread did not run: as in a process that was stopped and goes on."""
    _, build = breaking.submit(new_build(), new_action())
    claim = breaking.claim("w", build.id)
    assert claim is not None
    lease = Lease(breaking, claim)
    until(lambda: lease.lost)


def test_a_lease_that_is_renewed_goes_on(database: Database, clock: Clock) -> None:
    builds = Builds(database, Bell(), clock, lease_seconds=2)
    _, build = builds.submit(new_build(), new_action())
    claim = builds.claim("w", build.id)
    assert claim is not None
    with Lease(builds, claim) as lease:
        first = lease.until()
        until(lambda: lease.until() > first)
        assert (lease.lost, lease.cancelled.is_set()) == (False, False)


def _break_in(state: Path) -> None:
    with _scratch(state, "w") as mine:
        (mine / "file").touch()
        assert sorted(path.name for path in mine.parent.iterdir()) == ["living", "living.lock", "w", "w.lock"]
        raise OSError("the broker's socket")


def test_a_workers_folder_is_its_own_and_blamed_for_its_own_faults_only(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    (root / "killed").mkdir(parents=True)
    (root / "killed.lock").touch()
    with _scratch(tmp_path, "living") as living:
        with pytest.raises(OSError, match="the broker's socket"):
            _break_in(tmp_path)
        assert living.is_dir()
    assert list(root.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match="cannot be used: Not a directory"), _scratch(tmp_path / "file", "w"):
        pass
