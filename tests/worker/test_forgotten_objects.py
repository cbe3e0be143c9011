"""What only forgotten builds and runs named goes from the store too, whenever somebody was killed; the rest stays."""

from __future__ import annotations

import contextlib
import os
import threading
import time

import pytest
from connectrpc.errors import ConnectError
from tests.worker.conftest import Building, Served
from tests.worker.sdk import SPEC, ask_for_build, wait_for_end

from flyte_build.registry.errors import BuildFailed
from flyte_build.worker.builds.forgetting import Keep, forget
from flyte_build.worker.builds.listing import Wanted, newest
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.cli.main import run
from flyte_build.worker.database.engine import Database
from flyte_build.worker.retention import DAY

# A whole endpoint: no part of `make check`.
pytestmark = pytest.mark.real


def test_what_only_forgotten_builds_named_goes_and_what_a_kept_one_needs_stays(
    served: Served, building: Building, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(request: BuildRequest, cancelled: threading.Event) -> None:
        if request.target == "bad:1":
            raise BuildFailed("no such package")

    building.act = fail
    for target, spec in (("good:1", SPEC), ("bad:1", SPEC + b"\x0a\x00"), ("good:2", SPEC)):
        with contextlib.suppress(ConnectError):
            wait_for_end(served.url, ask_for_build(served.url, spec, target))
    store = served.state / "store"

    def there() -> dict[str, int]:
        files = [path for path in store.rglob("*") if path.is_file()]
        return {area: sum(area in path.parts for path in files) for area in ("uploads", "inputs")}

    def prune() -> None:
        assert run(["bundles", "prune", "--state", str(served.state)]) == 0
        capsys.readouterr()

    assert there() == {"uploads": 2, "inputs": 3}
    assert run(["bundles", "list", "--state", str(served.state)]) == 0
    assert "inputs/" not in capsys.readouterr().out, "they are nobody's uploads"
    for path in store.rglob("*.pb"):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    prune()
    assert there() == {"uploads": 2, "inputs": 3}, "builds and runs refer to them"
    database = Database(f"sqlite:///{served.state / 'flyte-build.db'}")
    while forget(database, Keep(builds=1), time.time() + DAY):
        pass
    assert [build.target for build in newest(database, Wanted())] == ["good:2", "good:1"]
    database.close()
    # As if somebody had been killed who removed some of it.
    next((store / "inputs").rglob("*.pb")).unlink()
    prune()
    assert there() == {"uploads": 1, "inputs": 0}, "the spec of the builds that are kept"
    prune()
    assert wait_for_end(served.url, ask_for_build(served.url, SPEC + b"\x0a\x00", "again:1")).status.phase == 5
