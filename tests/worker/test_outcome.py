from __future__ import annotations

import os
from pathlib import Path

import pytest
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument, ExecutionError
from flyteidl2.task.common_pb2 import Outputs

from flyte_build.worker.runs.container import Exit
from flyte_build.worker.runs.outcome import outcome_of, read_left
from flyte_build.worker.runs.values import Failure

OK = Exit(code=0, out_of_memory=False)
OUTPUTS = Outputs(literals=[{"name": "o0"}]).SerializeToString()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work" / "a0" / "1").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(OUTPUTS)
    return tmp_path / "work"


def failure(work: Path, ended: Exit = OK, tail: str = "") -> Failure:
    outcome = outcome_of(work, "a0", ended, tail)
    assert isinstance(outcome, Failure)
    return outcome


def error(message: str, origin: int = ExecutionError.USER, code: str = "ValueError") -> bytes:
    return bytes(ErrorDocument(error=ContainerError(code=code, message=message, origin=origin)).SerializeToString())


def test_outputs_are_the_outcome(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").write_bytes(OUTPUTS)
    assert outcome_of(work, "a0", OK, "") == OUTPUTS


def test_no_outputs_at_all_are_outputs_if_the_file_is_there(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").write_bytes(b"")
    assert outcome_of(work, "a0", OK, "") == b""


def test_an_error_wins_over_outputs_and_a_good_exit(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").write_bytes(OUTPUTS)
    (work / "a0" / "1" / "error.pb").write_bytes(error("it is \x1b[31mwrong\x1b[0m"))
    assert failure(work) == Failure(message="it is wrong", code="ValueError", kind="USER")


def test_an_error_of_the_system_is_not_blamed_on_the_user(work: Path) -> None:
    (work / "a0" / "1" / "error.pb").write_bytes(error("no disk", ExecutionError.SYSTEM))
    assert failure(work).kind == "SYSTEM"


def test_a_nested_call_that_found_nobody_gets_one_sentence(work: Path) -> None:
    prose = "Controller failed for action x: cannot connect to http://this-endpoint-runs-one-task-per-run.localhost:1"
    (work / "a0" / "1" / "error.pb").write_bytes(error(prose))
    assert failure(work).message.startswith("the task started another task")


@pytest.mark.parametrize(
    ("ended", "tail", "words"),
    [
        pytest.param(Exit(code=3, out_of_memory=False), "boom\n", ["code 3", "boom"], id="a bad exit with a log"),
        pytest.param(Exit(code=3, out_of_memory=False), "", ["code 3", "no log"], id="a bad exit without a log"),
        pytest.param(Exit(code=137, out_of_memory=True), "x", ["memory"], id="too much memory"),
        pytest.param(OK, "x", ["without writing outputs"], id="a good exit"),
    ],
)
def test_nothing_was_written_and_there_was(work: Path, ended: Exit, tail: str, words: list[str]) -> None:
    message = failure(work, ended, tail).message
    assert all(word in message for word in words)


def test_bytes_that_are_no_outputs_are_a_failure(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").write_bytes(b"\xff\xff")
    assert failure(work).code == "BadOutputs"


def link_file(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").symlink_to(work.parent / "secret")


def link_directory(work: Path) -> None:
    (work / "a0" / "1").rmdir()
    (work.parent / "outside").mkdir()
    (work.parent / "outside" / "outputs.pb").write_bytes(OUTPUTS)
    (work / "a0" / "1").symlink_to(work.parent / "outside")


def pipe(work: Path) -> None:
    os.mkfifo(work / "a0" / "1" / "outputs.pb")


def directory(work: Path) -> None:
    (work / "a0" / "1" / "outputs.pb").mkdir()


def huge(work: Path) -> None:
    with (work / "a0" / "1" / "outputs.pb").open("wb") as file:
        file.truncate(2**40)


def file_in_the_way(work: Path) -> None:
    (work / "a0" / "1").rmdir()
    (work / "a0" / "1").write_bytes(b"")


@pytest.mark.parametrize("trick", [link_file, link_directory, pipe, directory, huge, file_in_the_way])
def test_a_hostile_container_cannot_pass_off(work: Path, trick: object) -> None:
    trick(work)  # type: ignore[operator]
    assert failure(work).code == "BadOutputs"


def test_what_is_not_there_is_none(work: Path) -> None:
    assert read_left(work, ("a0", "1", "error.pb")) is None
    assert read_left(work, ("a9", "1", "error.pb")) is None
