from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler import junk
from flyte_build.bundler.explain import explain
from flyte_build.bundler.found import Found
from flyte_build.bundler.hashing import hash_files
from flyte_build.bundler.limits import BundleLimits
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidInput, InvalidTree

from . import trees

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n"
SUSPECTS = (
    ".env",
    ".env.local",
    "x.p12",
    "x\n.ppk",
    "id_rsa",
    ".netrc",
    "credentials",
    "config",
    "config.json",
    "secrets.toml",
)
KEYS = "[default]\nregion = eu-west-1\naws_access_key_id = AKIATTTTTTTTTTTTTTTT\naws_secret_access_key = {}\n"
ACCOUNT = '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nMIIE"}'


def listed(root: Path, *include: str) -> set[str]:
    return {entry.path for entry in list_tree(SourceTree(root=root, include=include)).manifest.entries}


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(".env", "", id=".env at the top"),
        pytest.param("a/b/.env.local", "", id=".env.local in a folder"),
        pytest.param("a/.envrc", "", id=".envrc"),
        pytest.param("id_rsa", "", id="a key by its name"),
        pytest.param("certs/server.pem", KEY, id="a key by its content"),
        pytest.param("x.json", ACCOUNT, id="a service account by its content"),
        pytest.param("aws.ini", KEYS.format("T" * 40), id="keys of AWS by their content"),
        pytest.param(".aws/credentials", "", id="the credentials of a cloud"),
        pytest.param("home/.docker/config.json", "", id="the credentials of registries"),
        pytest.param("a/.netrc", "", id="a netrc"),
        pytest.param("conf/secrets.json", "", id="a file called secrets"),
    ],
)
def test_a_likely_secret_is_refused_unless_it_is_named(tmp_path: Path, name: str, content: str) -> None:
    root = trees.make(tmp_path / "t", {name: content, "main.py": ""})
    with pytest.raises(InvalidTree, match="looks like a secret") as caught:
        listed(root, "*", "**/*")
    assert name in caught.value.sentence
    assert caught.value.hint.endswith(f"--include {name}")
    assert listed(root, name) == {name, "main.py"}
    (root / ".flyteignore").write_text(f"/{name}\n")
    assert listed(root) == {".flyteignore", "main.py"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(".env.example", "", id="an example environment"),
        pytest.param("id_rsa.pub", "", id="a public key"),
        pytest.param("test.py", f'KEY = """{KEY}"""', id="source that holds a key in a string"),
        pytest.param(
            "aws.ini", KEYS.format("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), id="the keys of a documentation"
        ),
        pytest.param("aws.py", "x = 1\n" + KEYS.format("T" * 40), id="source that holds keys of AWS"),
        pytest.param("ca.pem", "-----BEGIN CERTIFICATE-----\n", id="a certificate"),
        pytest.param("environment.yml", "", id="an environment that is none"),
    ],
)
def test_no_secret_is_seen_in(tmp_path: Path, name: str, content: str) -> None:
    assert listed(trees.make(tmp_path / "t", {name: content})) == {name}


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


@given(
    st.one_of(st.text(max_size=12), st.sampled_from(SUSPECTS)),
    st.sampled_from(["", "a/", ".aws/", ".kube/", ".docker/"]),
)
def test_every_likely_secret_is_suspected_by_its_name_alone(name: str, folder: str) -> None:
    if "/" not in name and junk.secret_by_name(folder + name):
        assert junk.may_be_secret(name)
