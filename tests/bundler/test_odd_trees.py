"""Trees with what is no file, cannot be read, changes, is too large or has odd names: noted, or one sentence."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flyte_build.bundler.found import Found
from flyte_build.bundler.hashing import hash_files
from flyte_build.bundler.limits import BundleLimits
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidTree

from . import trees
from .trees import listed


def test_pipes_and_sockets_are_skipped_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.make(tmp_path / "t", {"x": ""})
    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
        listing = list_tree(SourceTree(root=root))
    assert sorted(listing.notes) == ["pipe is a pipe and was skipped", "sock is a socket and was skipped"]
    assert [entry.path for entry in listing.manifest.entries] == ["x"]


def test_modes_are_two(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"a": "", "b": "", "c": "", "d": ""})
    for name, mode in (("a", 0o600), ("b", 0o777), ("c", 0o654), ("d", 0o700)):
        (root / name).chmod(mode)
    modes = {entry.path: entry.mode for entry in list_tree(SourceTree(root=root)).manifest.entries}
    assert modes == {"a": "0644", "b": "0755", "c": "0644", "d": "0755"}


@pytest.mark.parametrize(
    ("root", "why"),
    [
        pytest.param("/", "whole file system", id="the whole file system"),
        pytest.param("~", "home folder", id="the home folder"),
        pytest.param("~/..", "home folder", id="a folder with the home folder in it"),
        pytest.param("~/nothing", "no such folder", id="what is not there"),
        pytest.param("~/file", "not a folder", id="a file"),
        pytest.param("~/empty", "nothing to bundle", id="an empty folder"),
    ],
)
def test_a_root_is_refused_that_is(root: str, why: str) -> None:
    home = trees.make(Path.home(), {"file": "", "empty/__pycache__/x.pyc": ""})
    with pytest.raises(InvalidTree, match=why):
        listed(Path(root.replace("~", str(home))))


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"x": ""})
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).write_text("")
    with pytest.raises(InvalidTree, match=r"'caf\\udce9' has a name that is not UTF-8"):
        listed(root)


def test_a_tree_over_its_size_names_the_ten_largest_files_and_reads_none(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {f"f{n:02}": b"" for n in range(12)})
    for n in range(12):
        os.truncate(root / f"f{n:02}", (n + 1) << 30)
    with pytest.raises(InvalidTree, match="79872 MiB") as caught:
        listed(root)
    named = [name for name in caught.value.sentence.split() if name.startswith("f") and name[1:].isdigit()]
    assert named == [f"f{n:02}" for n in range(11, 1, -1)]


def test_a_tree_with_too_many_files_is_refused(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"a": "", "b": ""})
    with pytest.raises(InvalidTree, match="2 files"):
        list_tree(SourceTree(root=root, limits=BundleLimits(files=1)))


def test_a_tree_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidTree, match="deeper than 64 folders"):
        listed(trees.make(tmp_path / "t", {"d/" * 65 + "x": ""}))


@contextmanager
def nobody() -> Iterator[Path]:
    """A folder to work in, without the rights of root: who may do anything is refused nothing."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        user = os.geteuid()
        try:
            if user == 0:
                os.chown(place, 65534, 65534)
                os.seteuid(65534)
            yield Path(place) / "t"
        finally:
            os.seteuid(user)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        pytest.param("b/c", "b/c cannot be read: Permission denied", id="a file"),
        pytest.param("b", "the folder b cannot be read: Permission denied", id="a folder"),
        pytest.param(
            ".flyteignore", "the ignore file .flyteignore cannot be read: Permission denied", id="an ignore file"
        ),
    ],
)
def test_without_leave_to_read_it_is_one_sentence_that_names(path: str, says: str) -> None:
    with nobody() as root:
        trees.make(root, {"a": "", "b/c": "", ".flyteignore": ""})
        (root / path).chmod(0)
        try:
            with pytest.raises(InvalidTree, match=re.escape(says)):
                listed(root)
        finally:
            (root / path).chmod(0o700)


def test_names_that_differ_only_in_case_both_travel(tmp_path: Path) -> None:
    assert listed(trees.make(tmp_path / "t", {"A": "1", "a": "2"})) == {"A", "a"}


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    trees.make(tmp_path, {"x": ""})
    with pytest.raises(InvalidTree, match="x/y cannot be read: Not a directory"):
        hash_files(tmp_path, [Found("x/y", 1, 0, 0, 0, 0)], lambda _: False)


@pytest.mark.parametrize(
    ("how", "text"),
    [pytest.param("a", "more", id="grows"), pytest.param("w", "two", id="gets other content of its size")],
)
def test_a_file_is_noticed_that_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, text: str
) -> None:
    root = trees.make(tmp_path / "t", {"x": "one"})
    read = os.read

    def slow_read(descriptor: int, size: int) -> bytes:
        data = read(descriptor, size)
        with (root / "x").open(how) as writer:
            writer.write(text)
        os.utime(root / "x", (1, 1))
        return data

    monkeypatch.setattr(os, "read", slow_read)
    with pytest.raises(InvalidTree, match="x changed while it was read"):
        listed(root)


@pytest.mark.parametrize("kind", ["pipe", "link", "nothing"])
def test_a_file_replaced_since_it_was_found_is_noticed(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / "x")
    elif kind == "link":
        (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(InvalidTree, match=r"x (changed|cannot be read)"):
        hash_files(tmp_path, [Found("x", 1, 0, 0, 0, 0)], lambda _: False)
