"""What is remembered never changes an answer: it only saves reading."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler import hashing
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.memory import Memory, signature
from flyte_build.bundler.tree import Listing, SourceTree, list_tree
from flyte_build.bundler.walk import Folder, walk
from flyte_build.registry.errors import InvalidTree

from . import trees

# The file systems that tests run on tick faster than this; whoever waits two seconds in each test does not run them.
RACY = 100_000_000
FILES: dict[str, str | bytes] = {"a.py": "one", "b/c.py": "two", "b/d.bin": b"\0" * 5000, "l": "->a.py"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return aged(trees.make(tmp_path / "t", FILES))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(folder=tmp_path / "memory", racy=RACY)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were opened to be hashed."""
    paths: list[str] = []
    real = hashing.opened

    def opened(base: str, path: str):  # type: ignore[no-untyped-def]
        paths.append(path)
        return real(base, path)

    monkeypatch.setattr(hashing, "opened", opened)
    return paths


def aged(root: Path) -> Path:
    """Waits until nothing below `root` is so young that it could change unseen."""
    newest = max(path.lstat().st_ctime_ns for path in root.rglob("*"))
    while time.time_ns() <= newest + RACY:
        time.sleep(0.01)
    return root


def listed(root: Path, memory: Memory | None = None) -> Listing:
    return list_tree(SourceTree(root=root), memory)


def test_an_unchanged_tree_is_not_read_again(root: Path, memory: Memory, read: list[str]) -> None:
    first = listed(root, memory)
    assert sorted(read) == ["a.py", "b/c.py", "b/d.bin"]
    read.clear()
    second = listed(root, memory)
    assert (second.digest, second.files, second.size) == (first.digest, 4, 5006)
    assert second.manifest == first.manifest
    assert read == []


def test_after_an_edit_only_that_file_is_read(root: Path, memory: Memory, read: list[str]) -> None:
    listed(root, memory)
    read.clear()
    (root / "b/c.py").write_text("TWO")
    after = listed(root, memory)
    assert read == ["b/c.py"]
    assert after.manifest == listed(root).manifest


def test_an_edit_that_keeps_size_and_time_is_seen(root: Path, memory: Memory) -> None:
    before = listed(root, memory)
    status = (root / "a.py").stat()
    (root / "a.py").write_text("eno")
    os.utime(root / "a.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (root / "a.py").stat().st_mtime_ns == status.st_mtime_ns
    assert listed(root, memory).digest != before.digest


def test_a_file_as_young_as_the_look_at_it_is_read_every_time(root: Path, memory: Memory, read: list[str]) -> None:
    (root / "a.py").write_text("new")
    listed(root, memory)
    read.clear()
    listed(root, memory)
    assert read == ["a.py"]
    aged(root)
    listed(root, memory)
    read.clear()
    listed(root, memory)
    assert read == []


@pytest.mark.parametrize("what", ["added", "removed", "renamed", "made executable", "replaced by a link", "link moved"])
def test_it_is_seen_when_a_file_is(root: Path, memory: Memory, what: str) -> None:
    before = listed(root, memory)
    path = root / "b/c.py"
    if what == "added":
        (root / "new").write_text("")
    elif what == "renamed":
        path.rename(root / "b/e.py")
    elif what == "made executable":
        path.chmod(0o755)
    elif what == "link moved":
        (root / "l").unlink()
        (root / "l").symlink_to("b/c.py")
    else:
        path.unlink()
        if what == "replaced by a link":
            path.symlink_to("d.bin")
    after = listed(root, memory)
    assert after.digest != before.digest
    assert after.manifest == listed(root).manifest


def test_another_question_has_a_memory_of_its_own(root: Path, memory: Memory) -> None:
    (root / ".flyteignore").write_text("*.bin\n")
    aged(root)
    without = listed(root, memory)
    within = list_tree(SourceTree(root=root, include=("*.bin",)), memory)
    assert (without.files, within.files) == (4, 5)
    assert (listed(root, memory).digest, without.digest) == (without.digest, listed(root).digest)


def test_a_secret_is_refused_also_when_the_file_is_remembered(root: Path, memory: Memory) -> None:
    (root / "key").write_text("-----BEGIN RSA PRIVATE KEY-----\n")
    aged(root)
    tree = SourceTree(root=root, include=("key",))
    list_tree(tree, memory)
    list_tree(tree, memory)
    with pytest.raises(InvalidTree, match="looks like a secret"):
        listed(root, memory)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data.replace(b'"size":5006', b'"size":5007'), id="changed in its header"),
        pytest.param(lambda data: data[:-60] + bytes([data[-60] ^ 1]) + data[-59:], id="changed in its table"),
        pytest.param(lambda data: b"\xff" * 100 + b"\n" + data, id="not a text"),
    ],
)
def test_a_memory_is_as_good_as_none_when_it_is(root: Path, memory: Memory, damage) -> None:  # type: ignore[no-untyped-def]
    before = listed(root, memory)
    (place,) = (memory.folder / "trees").iterdir()  # type: ignore[operator]
    place.write_bytes(damage(place.read_bytes()))
    after = listed(root, memory)
    assert (after.digest, after.files, after.size) == (before.digest, before.files, before.size)
    assert after.manifest == before.manifest


def test_a_memory_that_cannot_be_kept_is_no_failure(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert listed(root, Memory(folder=tmp_path / "file")).digest == listed(root).digest


def test_a_memory_belongs_to_its_owner_and_stays_small(root: Path, memory: Memory, tmp_path: Path) -> None:
    listed(root, memory)
    assert memory.folder is not None
    assert stat.S_IMODE((memory.folder / "trees").stat().st_mode) == 0o700
    for number in range(250):
        memory.keep_archive(Manifest(entries=()).digest.__class__("sha256", f"{number:064x}"), {"n": number})
    assert len(list((memory.folder / "archives").iterdir())) <= 201


def test_times_far_in_the_past_and_future_are_no_matter(root: Path, memory: Memory) -> None:
    os.utime(root / "a.py", ns=(-(10**18), -(10**18)))
    os.utime(root / "b/c.py", ns=(4 * 10**18, 4 * 10**18))
    assert listed(root, memory).digest == listed(root, memory).digest == listed(root).digest


@given(trees.trees(), trees.trees())
def test_two_trees_have_one_signature_only_if_nothing_differs(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, tuple[bytes, bool]], two: dict[str, tuple[bytes, bool]]
) -> None:
    signs = []
    for files in (one, two):
        contents: dict[str, str | bytes] = {path: data for path, (data, _) in files.items()}
        root = trees.make(tmp_path_factory.mktemp("t"), contents)
        found = walk(Folder(root=root))
        signs.append((signature([found]), [tuple(file) for file in found.files]))
    assert (signs[0][0] == signs[1][0]) == (signs[0][1] == signs[1][1])


@given(st.lists(st.sampled_from(["edit", "same", "touch", "exec", "remove", "add"]), max_size=6))
def test_with_a_memory_every_answer_is_as_without(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    root = trees.make(tmp_path_factory.mktemp("t"), FILES)
    memory = Memory(folder=tmp_path_factory.mktemp("m"), racy=RACY)
    path = root / "b/c.py"
    for number, step in enumerate(["same", *steps]):
        if step == "add":
            (root / f"n{number}").write_text(step)
        elif step == "remove":
            path.unlink(missing_ok=True)
        elif step == "edit":
            path.write_text(f"{number:03}")
        elif path.exists() and step == "exec":
            path.chmod(0o755 if number % 2 else 0o644)
        elif path.exists() and step == "touch":
            os.utime(path)
        assert listed(root, memory).manifest == listed(root).manifest
        assert listed(root, memory).digest == listed(root).digest
