"""Docker's ignore files, by the rows of its reference and of `patternmatcher`'s own tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.doubles import image, planned, write

from flyte_build.builder.dockerignore import Dockerignore
from flyte_build.registry.errors import InvalidInput, InvalidSpec

ROWS = [
    ("a name is anchored", "x", ["x", "x/deep/y"], ["a/x", "xy"]),
    ("a slash in front means nothing", "/x", ["x"], ["a/x"]),
    ("a slash at the end means nothing", "x/", ["x", "x/y"], ["a/x"]),
    ("a path below a folder", "app/x", ["app/x", "app/x/y"], ["x", "b/app/x"]),
    ("a star stays in its folder", "*.pyc", ["a.pyc"], ["a/b.pyc"]),
    ("a star for a folder", "*/temp*", ["a/temp", "a/temporary.txt"], ["temp", "a/b/temp"]),
    ("two stars cross folders", "**/*.pyc", ["a.pyc", "a/b/c.pyc"], ["a.py"]),
    ("two stars at the end", "a/**", ["a/b", "a/b/c"], ["b"]),
    ("two stars in the middle", "a/**/z", ["a/z", "a/b/c/z"], ["z"]),
    ("a question mark", "a?", ["ab"], ["a", "abc", "a/b"]),
    ("a class", "[a-c]x", ["ax", "bx/y"], ["dx"]),
    ("a class that is not", "[^a]x", ["bx"], ["ax", "/x"]),
    ("an escaped star", "\\*", ["*"], ["a"]),
    ("a dot is a dot", "a.b", ["a.b"], ["axb"]),
    ("taken back", "*.md\n!keep.md", ["a.md"], ["keep.md"]),
    ("taken back inside a folder", "docs\n!docs/a.md", ["docs/b.md"], ["docs/a.md"]),
    ("the last one wins", "!a\na", ["a"], []),
    ("left out again", "*\n!a\na/b", ["a/b", "c"], ["a/c"]),
    ("comments and empty lines", "# x\n\n  \ny", ["y"], ["x", "# x"]),
    ("dots are cleaned", "./a/../b/", ["b"], ["a"]),
]


@pytest.mark.parametrize(("text", "out", "kept"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_excludes(text: str, out: list[str], kept: list[str]) -> None:
    ignore = Dockerignore.parse(text)
    assert [path for path in out if not ignore.excludes(path)] == []
    assert [path for path in kept if ignore.excludes(path)] == []


@pytest.mark.parametrize("text", ["[a", "x\n[", "a\\", "!"])
def test_a_pattern_that_is_none_is_said_with_its_line(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"line {text.count(chr(10)) + 1} of the dockerignore"):
        Dockerignore.parse(text)


def tag(root: Path) -> str:
    return planned(replace(image(), dockerignore="my.ignore").with_copy("app", to="/app"), root).tag


def test_what_is_left_out_is_neither_shipped_nor_counted(tmp_path: Path) -> None:
    root = write(tmp_path, {"my.ignore": "app/x\n", "app/x": "1", "app/deep/x": "1"})
    before = tag(root)
    assert tag(write(root, {"app/x": "2"})) == before
    assert tag(write(root, {"app/deep/x": "2"})) != before
    plan = planned(replace(image(), dockerignore="my.ignore").with_copy("app", to="/app"), root)
    assert [file.path for file in plan.trees()[0].files] == ["app/deep/x"]


def test_a_broken_one_is_a_problem_of_the_spec(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="dockerignore: line 1 of the dockerignore"):
        tag(write(tmp_path, {"my.ignore": "[", "app/x": ""}))
