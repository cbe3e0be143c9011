"""Equal trees have one digest and one archive, wherever and however they were made; other trees have others."""

from __future__ import annotations

import itertools
import os
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler.archive import archive
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.tree import SourceTree, list_tree

from . import trees

Tree = dict[str, tuple[bytes, bool]]


def written(tree: Tree, root: Path, seed: int) -> Path:
    """`tree` at `root`, made in some order, with some umask, modes and times."""
    chance = random.Random(seed)
    root.mkdir(parents=True)
    paths = list(tree)
    chance.shuffle(paths)
    mask = os.umask(chance.choice([0o022, 0o077, 0o002]))
    try:
        for path in paths:
            content, executable = tree[path]
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
            bits = chance.choice([0o700, 0o755, 0o775]) if executable else chance.choice([0o600, 0o644, 0o666])
            (root / path).chmod(bits)
            os.utime(root / path, (0, chance.randrange(1 << 31)))
    finally:
        os.umask(mask)
    return root


def manifest_of(root: Path) -> Manifest:
    return list_tree(SourceTree(root=root)).manifest


@given(trees.trees(), st.integers(0, 1 << 30))
def test_equal_trees_are_one_bundle(tree: Tree, seed: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        here = written(tree, Path(place) / "here", seed)
        there = written(tree, Path(place) / "a" / "b" / "there", seed + 1)
        one, two = manifest_of(here), manifest_of(there)
        assert one.digest == two.digest
        archive(one, here, Path(place) / "1.tar.gz")
        archive(two, there, Path(place) / "2.tar.gz")
        assert (Path(place) / "1.tar.gz").read_bytes() == (Path(place) / "2.tar.gz").read_bytes()


@given(trees.trees(), trees.trees())
def test_other_trees_are_other_bundles(one: Tree, other: Tree) -> None:
    with tempfile.TemporaryDirectory() as place:
        here, there = written(one, Path(place) / "1", 1), written(other, Path(place) / "2", 1)
        assert (manifest_of(here).digest == manifest_of(there).digest) == (one == other)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return trees.make(tmp_path / "t", {"a/x.py": "one", "b.py": "two", "link": "->b.py"})


def _content(root: Path) -> None:
    (root / "b.py").write_text("twö")


def _mode(root: Path) -> None:
    (root / "b.py").chmod(0o755)


def _name(root: Path) -> None:
    (root / "b.py").rename(root / "c.py")


def _folder(root: Path) -> None:
    (root / "a/x.py").rename(root / "x.py")


def _target(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("a/x.py")


def _no_link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").write_text("two")


def _more(root: Path) -> None:
    (root / "empty.py").touch()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_content, id="the content of a file"),
        pytest.param(_mode, id="the executable bit"),
        pytest.param(_name, id="a name"),
        pytest.param(_folder, id="a folder"),
        pytest.param(_target, id="the target of a link"),
        pytest.param(_no_link, id="a link that becomes the file it pointed to"),
        pytest.param(_more, id="one more empty file"),
    ],
)
def test_the_digest_changes_with(root: Path, change: object) -> None:
    before = manifest_of(root).digest
    assert callable(change)
    change(root)
    assert manifest_of(root).digest != before


def _touch(root: Path) -> None:
    for path in itertools.chain([root], root.rglob("*")):
        os.utime(path, (1, 1), follow_symlinks=False)


def _group_bits(root: Path) -> None:
    (root / "b.py").chmod(0o664)


def _empty_folder(root: Path) -> None:
    (root / "empty").mkdir()


def _junk(root: Path) -> None:
    trees.make(root, {"a/__pycache__/x.pyc": "junk"})


def _repository(root: Path) -> None:
    trees.git(root, "init", "-q")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_touch, id="times"),
        pytest.param(_group_bits, id="the bits of others"),
        pytest.param(_empty_folder, id="an empty folder"),
        pytest.param(_junk, id="junk"),
        pytest.param(_repository, id="a repository around it"),
    ],
)
def test_the_digest_stays_with_other(root: Path, change: object) -> None:
    before = manifest_of(root).digest
    assert callable(change)
    change(root)
    assert manifest_of(root).digest == before


def test_a_bundle_keeps_its_name_between_versions(root: Path) -> None:
    assert str(manifest_of(root).digest) == "sha256:c7a5e70c80388db03552b33d4a7be2502d4f757d03839b4a7b8c670badeb4267"
