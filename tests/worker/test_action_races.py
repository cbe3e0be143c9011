"""An action ends once, also when two transactions really run at the same time: on PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.worker.make import new_action, new_build
from tests.worker.services import postgres

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.schema import ActionRow
from flyte_build.worker.runs.actions import Actions, advance
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Failure


@pytest.mark.real
def test_who_comes_second_changes_nothing(tmp_path: Path) -> None:
    server = postgres(tmp_path / "p").start()
    database = Database(server.database("races").url)
    try:
        database.create()
        builds, actions = Builds(database, Bell(), time.time), Actions(database, Bell(), time.time)
        late = (
            lambda action: actions.abort(action, "enough"),
            lambda action: actions.enter(action, Phase.RUNNING),
            lambda action: actions.fail(action, Failure(message="it broke", code="X", kind="USER")),
            lambda action: actions.succeed(action, b"other"),
        )
        with ThreadPoolExecutor(1) as pool:
            for number, change in enumerate(late):
                action, _ = builds.submit(new_build(target=f"demo:{number}"), new_action(f"r{number}"))
                with database.write() as session:
                    row = session.get_one(ActionRow, action.id, with_for_update=True)
                    assert advance(session, row, Phase.SUCCEEDED, time.time())
                    session.flush()
                    changed = pool.submit(change, action)
                    time.sleep(0.3)  # long enough for it to look, and it may not end before we do
                    assert not changed.done()
                assert not changed.result(20)
                phases = [one.phase for one in actions.transitions(action)]
                assert phases == [Phase.QUEUED, Phase.SUCCEEDED], number
                found = actions.get(action.full_name)
                assert found is not None
                assert (found.phase, found.error, found.abort_reason) == (Phase.SUCCEEDED, "", "")
        with pytest.raises(ServiceError, match="cannot keep") as refused:
            actions.by_request("a\0b")
        assert not refused.value.transient, "who asks again would be told the same"
    finally:
        database.close()
        server.stop()
