from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worker.conftest import Clock
from tests.worker.make import new_action, new_build

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepProgress, StepStarted
from flyte_build.registry.errors import ServiceUnavailable
from flyte_build.worker.builds.entries import Entry, entry_of
from flyte_build.worker.builds.log_writer import BuildLog
from flyte_build.worker.builds.logs import BuildLogs, same
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database

PUSH = StepProgress(title="exporting to image", what="pushing layers", done=5, total=10, seconds=1.5, ended=True)


@pytest.fixture
def build_id(builds: Builds) -> str:
    return builds.submit(new_build(), new_action())[1].id


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(StepStarted(title="pip packages"), id="a step that began"),
        pytest.param(StepOutput(title="pip packages", line="Installed 3 packages"), id="a line of a step"),
        pytest.param(PUSH, id="a layer that is pushed"),
        pytest.param(StepEnded(title="pip packages", seconds=2.125), id="a step that ended"),
        pytest.param(StepEnded(title="pip packages", seconds=0.0, cached=True), id="a step that was cached"),
        pytest.param(StepEnded(title="pip packages", seconds=1.0, error="exit code: 1"), id="a step that failed"),
    ],
)
def test_what_an_engine_says_is_kept_whole(event: BuildEvent) -> None:
    assert Entry.decode(entry_of(event, 1.0).encode()).event == event


@given(st.text(max_size=80))
def test_an_entry_is_one_line_whatever_a_step_prints(text: str) -> None:
    encoded = entry_of(StepOutput(title=text, line=text), 1.0).encode()
    assert "\n" not in encoded
    assert "\x1b" not in encoded
    assert Entry.decode(encoded).encode() == encoded


def test_what_a_newer_release_wrote_is_a_note(clock: Clock) -> None:
    assert Entry.decode('{"at": 1, "kind": "sung", "text": "la", "key": "c"}') == Entry(at=1, kind="note", text="la")


def test_a_log_is_read_while_it_grows_and_from_its_end(logs: BuildLogs, build_id: str) -> None:
    view = logs.view(build_id)
    assert (view.read(0).lines, view.tail(100)) == ((), "")
    with logs.write(build_id) as log:
        log("base debian\nimage demo")
        log.step(StepStarted(title="pip packages"))
        log.flush()
        first = view.read(0)
        assert [line.text for line in first.lines] == ["base debian", "image demo"]
        log.step(StepOutput(title="pip packages", line="\x1b[31mInstalled"))
        log.step(PUSH)
    second = view.read(first.position)
    said = ["    Installed", "    pushing layers  0.0/0.0 MB  1.5s"]
    assert [(line.text, line.ours) for line in second.lines] == [(text, False) for text in said]
    assert view.read(second.position).lines == ()
    assert view.tail(1000) == "\n".join(["base debian", "image demo", *said, ""])
    assert view.tail(50).splitlines() == said[-1:]


def test_the_log_of_a_second_attempt_goes_on_after_the_first(logs: BuildLogs, build_id: str) -> None:
    for text in ("first", "second"):
        with logs.write(build_id) as log:
            log(text)
    assert logs.view(build_id).tail(100) == "first\nsecond\n"


def test_a_log_is_bounded_and_says_so_once(database: Database, clock: Clock, build_id: str) -> None:
    logs = BuildLogs(database, Bell(), clock, limit=2000)
    for _ in range(2):
        with logs.write(build_id) as log:
            for _ in range(200):
                log("x" * 50)
    text = logs.view(build_id).tail(100_000)
    assert text.count("the rest is not kept") == 1
    assert logs.size(build_id) < 2200


def test_what_nobody_may_read_is_not_written(logs: BuildLogs, build_id: str) -> None:
    with logs.write(build_id, lambda text: text.replace("hunter22", "***")) as log:
        log("the password is hunter22")
        log.step(StepOutput(title="RUN echo hunter22", line="hunter22"))
        assert "hunter22" not in log.tail(1000)
    assert "hunter22" not in str(logs.entries(build_id))


def test_what_is_no_text_can_be_written_all_the_same(logs: BuildLogs, build_id: str) -> None:
    with logs.write(build_id) as log:
        log("cannot read caf\udce9.txt")
    assert logs.view(build_id).tail(100) == "cannot read caf?.txt\n"


class Away:
    """A database that does not answer until it is `back`; then what is put into it is `written`."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.back = threading.Event()

    def put(self, entries: list[str]) -> None:
        if not self.back.is_set():
            raise ServiceUnavailable("the database did not answer")
        self.written.extend(entries)


def test_a_database_that_is_away_loses_no_line(clock: Clock) -> None:
    base = Away()
    with BuildLog(base.put, clock, same, 10_000) as log:
        log("one")
        log.flush()
        log("two")
        base.back.set()
    assert [Entry.decode(line).text for line in base.written] == ["one", "two"]


def test_a_database_that_stays_away_costs_bounded_memory(clock: Clock) -> None:
    base = Away()
    with BuildLog(base.put, clock, same, 100 << 20) as log:
        for _ in range(12):
            log("x" * (1 << 20))
        base.back.set()
    assert 4 << 20 < sum(map(len, base.written)) < 6 << 20
