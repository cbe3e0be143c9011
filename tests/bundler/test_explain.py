"""Why a path is in or out where a tree is more than one folder, and for what is no plain file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flyte_build.bundler.explain import explain
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidTree

from . import trees

_SECRET = "it looks like a secret (an environment file), and no bundle is made until it is left out or named"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceTree:
    trees.make(tmp_path / "project", {"main.py": "", "l": "->main.py", "out": "->/etc"})
    trees.make(tmp_path / "other", {"y.py": "y", ".gitignore": "*.log\n", "x.log": "", ".env": "A=1\n"})
    os.mkfifo(tmp_path / "project/pipe")
    monkeypatch.chdir(tmp_path / "project")
    return SourceTree(root=Path(), also=(Path("../other"),))


@pytest.mark.parametrize(
    ("path", "kept", "why"),
    [
        pytest.param("main.py", True, "nothing leaves it out", id="in the tree itself"),
        pytest.param("y.py", True, "from ../other: nothing leaves it out", id="in another root"),
        pytest.param("x.log", False, "from ../other: .gitignore, line 1: *.log", id="out by another root's rules"),
        pytest.param("../other/x.log", False, "from ../other: .gitignore, line 1", id="a way to another root"),
        pytest.param(".env", False, f"from ../other: {_SECRET}", id="a secret of another root"),
        pytest.param("pipe", False, "it is a pipe, which has no content to carry", id="a pipe"),
        pytest.param("out", False, "it links to '/etc', which is not a relative path, and no bundle", id="a link out"),
        pytest.param("l", True, "nothing leaves it out", id="a link into the tree"),
    ],
)
def test_every_root_is_asked_and_odd_things_are_what_they_are(
    tree: SourceTree, path: str, kept: bool, why: str
) -> None:
    verdict = explain(tree, path)
    assert verdict.kept is kept
    assert verdict.why.startswith(why)


def test_what_no_root_has_is_said_of_all(tree: SourceTree) -> None:
    with pytest.raises(InvalidTree, match=r"nowhere is not in \., \.\./other"):
        explain(tree, "nowhere")


def test_an_include_holds_in_every_root(tree: SourceTree) -> None:
    (tree.root / "out").unlink()
    asked = SourceTree(root=tree.root, also=tree.also, include=(".env", "x.log"))
    listing = list_tree(asked)
    assert {".env", "x.log"} <= {entry.path for entry in listing.manifest.entries}
    assert listing.notes == ("pipe is a pipe and was skipped",), "both includes match something"
    assert explain(asked, ".env").why == "from ../other: it was asked for by --include .env"
