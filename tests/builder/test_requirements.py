"""Requirement files: what they include is found, and nothing outside is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builder.doubles import write

from flyte_build.builder import requirements
from flyte_build.registry.errors import InvalidInput

INCLUDES = {
    "-r base.txt": ["base.txt"],
    "-rbase.txt": ["base.txt"],
    "--requirement base.txt": ["base.txt"],
    "--requirement=base.txt": ["base.txt"],
    "-c base.txt # why": ["base.txt"],
    "--constraint  base.txt": ["base.txt"],
    "  -r ./base.txt": ["base.txt"],
    "# -r base.txt": [],
    "numpy # -r base.txt": [],
    "-r https://a.test/base.txt": [],
    "--require-hashes": [],
    "-e .": [],
}


@pytest.mark.parametrize(("line", "expected"), INCLUDES.items(), ids=INCLUDES.keys())
def test_includes_are_read_as_pip_reads_them(tmp_path: Path, line: str, expected: list[str]) -> None:
    write(tmp_path, {"r.txt": f"numpy\n{line}\n", "base.txt": "x"})
    assert [file.name for file in requirements.included(tmp_path / "r.txt")] == ["r.txt", *expected]


def test_a_chain_of_any_length_and_a_circle_come_to_an_end(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}.txt": f"-r {(number + 1) % 2000}.txt" for number in range(2000)})
    assert len(requirements.included(tmp_path / "0.txt")) == 2000


REFUSED = {
    "an absolute path": ("-r /etc/passwd", "includes '/etc/passwd'; write a path relative to it"),
    "a NUL": ("-r a\0b", "write a path relative to it"),
    "a file that is not there": ("-r gone.txt", "the requirements file 'gone.txt', included by 'r.txt' does not exist"),
    "a folder": ("-r folder", "the requirements file 'folder', included by 'r.txt' is a folder"),
}


@pytest.mark.parametrize(("line", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_an_include_is_refused_for(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, {"r.txt": line, "folder/": ""})
    with pytest.raises(InvalidInput) as caught:
        requirements.included(tmp_path / "r.txt")
    assert said in caught.value.sentence


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "r.txt").open("wb") as file:
        file.truncate((16 << 20) + 1)
    with pytest.raises(InvalidInput, match="larger than 16 MiB"):
        requirements.included(tmp_path / "r.txt")


OUTSIDE = {
    "a way up": {"in/r.txt": "-r ../secret.txt"},
    "a link": {"in/r.txt": "-r link.txt", "in/link.txt": "-> ../secret.txt"},
    "a linked folder": {"in/r.txt": "-r up/secret.txt", "in/up": "-> .."},
    "the file itself": {"in/r.txt": "-> ../secret.txt"},
}


@pytest.mark.parametrize("files", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_nothing_outside_is_read_when_it_must_stay_within(tmp_path: Path, files: dict[str, str]) -> None:
    write(tmp_path, {"secret.txt": "-r gone.txt"} | files)
    with pytest.raises(InvalidInput, match=r"'(secret|link|r)\.txt' leads out of 'in'"):
        requirements.included(tmp_path / "in/r.txt", within=tmp_path / "in")
