"""What of a tree is bundled: ignore rules, includes, links, and the reason for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyte_build.bundler.explain import explain
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidInput, InvalidTree

from . import trees
from .trees import listed

GOLDEN = {
    ".gitignore": "*.log\n/build/\ndata/\n!keep.log\nsecret-*\n!/lib/secret-ok\n/w/*\n!/w/in/\n",
    "a.log": "",
    "keep.log": "",
    "main.py": "print()",
    "build/out.txt": "",
    "sub/build/in.txt": "",
    "sub/.gitignore": "!a.log\n/only-here\n*.tmp\n",
    "sub/a.log": "",
    "sub/b.log": "",
    "sub/only-here": "",
    "sub/x/only-here": "",
    "sub/x/y.tmp": "",
    "sub/x/.gitignore": "!y.tmp\n",
    "y.tmp": "",
    "data/big.bin": "",
    "data/.gitignore": "!big.bin\n",
    "data/forced.bin": "",
    "lib/secret-ok": "",
    "lib/secret-no": "",
    "w/out.txt": "",
    "w/in/x": "",
    "excluded.local": "",
    "empty/.gitkeep": "",
    "naïve name.py": "",
    "link": "->main.py",
    "link-to-folder": "->lib",
}


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    root = trees.make(tmp_path / "golden", GOLDEN)
    trees.git(root, "init", "-q")
    (root / ".git/info/exclude").write_text("*.local\n")
    trees.git(root, "add", "main.py", "sub/x")
    trees.git(root, "add", "-f", "data/forced.bin", "a.log")
    return root


def test_the_list_is_gits_list(golden: Path) -> None:
    assert listed(golden) == trees.git_files(golden)
    assert {"data/forced.bin", "a.log", "sub/x/y.tmp"} <= listed(golden)


@pytest.mark.parametrize("folder", ["sub", "sub/x", "lib", "w/in"])
def test_a_folder_of_a_repository_obeys_the_ignore_files_above_it(golden: Path, folder: str) -> None:
    assert listed(golden / folder) == trees.git_files(golden / folder)


def test_a_worktree_obeys_the_exclude_file_of_its_repository(golden: Path, tmp_path: Path) -> None:
    trees.git(golden, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    trees.git(golden, "worktree", "add", "-q", str(tmp_path / "other"))
    trees.make(tmp_path / "other", {"x.local": "", "x.py": ""})
    assert listed(tmp_path / "other") == trees.git_files(tmp_path / "other")
    assert "x.local" not in listed(tmp_path / "other")


def test_a_persons_global_excludes_do_not_count(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = listed(golden)
    (tmp_path / "excludes").write_text("*.py\n")
    (tmp_path / "config").write_text(f"[core]\n\texcludesFile = {tmp_path}/excludes\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    assert listed(golden) == before


def test_inside_a_hook_of_another_repository_the_list_is_the_same(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listed(golden)
    trees.git(trees.make(tmp_path / "other", {"x": ""}), "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert listed(golden) == before


def test_git_missing_is_noted_and_its_ignore_files_still_count(golden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    listing = list_tree(SourceTree(root=golden))
    assert [note for note in listing.notes if "no git on PATH" in note]
    assert "data/forced.bin" not in {entry.path for entry in listing.manifest.entries}


def test_flyteignore_goes_before_git(tmp_path: Path) -> None:
    files = {".gitignore": "*.bin\n", ".flyteignore": "!model.bin\ndocs/\n", "a/.flyteignore": "*.py\n"}
    more = {"model.bin": "", "other.bin": "", "docs/x.py": "", "a/x.py": "", "x.py": ""}
    trees.make(tmp_path / "t", files | more)
    assert listed(tmp_path / "t") == {".gitignore", ".flyteignore", "a/.flyteignore", "model.bin", "x.py"}


def test_flyteignore_leaves_out_what_git_tracks(golden: Path) -> None:
    (golden / ".flyteignore").write_text("main.py\ndata/\n")
    assert not {"main.py", "data/forced.bin"} & listed(golden)


def test_junk_stays_out_at_any_depth(tmp_path: Path) -> None:
    junk = ("__pycache__/x.pyc", "a/x.pyc", "a/.venv/x", "node_modules/x/y.js", "a/.DS_Store", ".mypy_cache/x", ".hg/x")
    trees.make(tmp_path / "t", dict.fromkeys((*junk, "a/x.py", "myenv/pyvenv.cfg", "myenv/lib/x.py"), ""))
    assert listed(tmp_path / "t") == {"a/x.py"}


@pytest.mark.parametrize(
    ("glob", "more"),
    [
        pytest.param("out/model.bin", {"out/model.bin"}, id="a path"),
        pytest.param("./out/model.bin", {"out/model.bin"}, id="a path that begins with a dot"),
        pytest.param("out/*.bin", {"out/model.bin", "out/other.bin"}, id="a glob in a folder"),
        pytest.param("*.bin", {"out/model.bin", "out/other.bin", "out/deep/x.bin"}, id="a name at any depth"),
        pytest.param("**/x.bin", {"out/deep/x.bin"}, id="two stars"),
        pytest.param("out", {"out/model.bin", "out/other.bin", "out/deep/x.bin", "out/notes"}, id="a folder"),
        pytest.param(
            "out/", {"out/model.bin", "out/other.bin", "out/deep/x.bin", "out/notes"}, id="a folder with slash"
        ),
        pytest.param("out/deep/**", {"out/deep/x.bin"}, id="everything below a folder"),
        pytest.param("node_modules/a/x.bin", {"node_modules/a/x.bin"}, id="a path in junk"),
        pytest.param("nothing", set(), id="what is not there"),
    ],
)
def test_an_include_wins_over_ignore_rules(tmp_path: Path, glob: str, more: set[str]) -> None:
    files = (
        "out/model.bin",
        "out/other.bin",
        "out/deep/x.bin",
        "out/notes",
        "out/__pycache__/x",
        "node_modules/a/x.bin",
    )
    trees.make(tmp_path / "t", dict.fromkeys(files, "") | {"main.py": "", ".gitignore": "out/\n"})
    assert listed(tmp_path / "t", glob) == {"main.py", ".gitignore", *more}


@pytest.mark.parametrize("glob", ["", "!a", "# a"])
def test_an_include_that_includes_nothing_is_refused(tmp_path: Path, glob: str) -> None:
    with pytest.raises(InvalidInput, match="includes nothing"):
        listed(trees.make(tmp_path / "t", {"a": ""}), glob)


def test_links_are_recorded_and_not_followed(tmp_path: Path) -> None:
    files = {"a/x.py": "", "to-file": "->a/x.py", "to-folder": "->a", "a/up": "->../a/./x.py", "loop": "->loop"}
    entries = list_tree(SourceTree(root=trees.make(tmp_path / "t", files))).manifest.entries
    assert {e.path: e.link for e in entries if e.mode == "link"} == {
        "to-file": "a/x.py",
        "to-folder": "a",
        "a/up": "../a/./x.py",
        "loop": "loop",
    }
    assert {e.path for e in entries if e.mode != "link"} == {"a/x.py"}


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"bad": "->/etc/passwd"}, id="absolute"),
        pytest.param({"bad": "->../x"}, id="above"),
        pytest.param({"d/e/x": "", "s": "->d/e", "bad": "->s/../../../x"}, id="outside by its text"),
        pytest.param({"d/x": "", "a/b/s": "->../../d", "bad": "->a/b/s/../../x"}, id="outside through another link"),
    ],
)
def test_a_link_that_leaves_the_tree_is_named(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(InvalidTree, match=r"\Abad links to"):
        listed(trees.make(tmp_path / "t", files))


def test_an_ignored_link_may_point_anywhere(tmp_path: Path) -> None:
    assert listed(trees.make(tmp_path / "t", {"bad": "->/etc", ".gitignore": "bad\n"})) == {".gitignore"}


@pytest.mark.parametrize(
    ("path", "kept", "why"),
    [
        pytest.param("main.py", True, "nothing leaves it out", id="an ordinary file"),
        pytest.param("sub/b.log", False, ".gitignore, line 1: *.log", id="an ignored file"),
        pytest.param("sub/a.log", True, "sub/.gitignore, line 1: !a.log", id="a file taken back"),
        pytest.param("data/big.bin", False, "its folder: .gitignore, line 3: data/", id="a file in an ignored folder"),
        pytest.param("data/forced.bin", True, "git tracks it, although it is ignored", id="a tracked file"),
        pytest.param("excluded.local", False, ".git/info/exclude, line 1: *.local", id="an excluded file"),
        pytest.param(".git/HEAD", False, "its folder: .git is standard junk", id="junk"),
        pytest.param("build/out.txt", True, "it was asked for by --include build/*.txt", id="an included file"),
    ],
)
def test_explain_says_why(golden: Path, path: str, kept: bool, why: str) -> None:
    verdict = explain(SourceTree(root=golden, include=("build/*.txt",)), path)
    assert (verdict.kept, verdict.why) == (kept, why)


def test_explain_and_list_agree_on_every_path(golden: Path) -> None:
    tree = SourceTree(root=golden)
    paths = [path for path in golden.rglob("*") if path.is_symlink() or path.is_file()]
    names = [path.relative_to(golden).as_posix() for path in paths]
    assert {name for name in names if explain(tree, name).kept} == listed(golden)


def test_explain_names_what_is_not_there(golden: Path) -> None:
    with pytest.raises(InvalidTree, match="nowhere is not in"):
        explain(SourceTree(root=golden), "nowhere")
