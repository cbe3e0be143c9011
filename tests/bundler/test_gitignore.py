from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyte_build.bundler.gitignore import PatternFile, parse_lines

from . import trees


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        pytest.param("*.log", "a/b/x.log", True, id="a name matches at any depth"),
        pytest.param("/x.log", "a/x.log", False, id="a leading slash binds to the folder of the file"),
        pytest.param("a/*.log", "a/b/x.log", False, id="a star does not cross a slash"),
        pytest.param("a/**/x.log", "a/x.log", True, id="two stars match no folder at all"),
        pytest.param("a/**/x.log", "a/b/c/x.log", True, id="two stars match several folders"),
        pytest.param("**/x.log", "x.log", True, id="leading stars match the top"),
        pytest.param("a/**", "a/b/c", True, id="trailing stars match everything below"),
        pytest.param("x/", "x", False, id="a trailing slash matches folders only"),
        pytest.param("x.log\n!x.log", "x.log", False, id="the last line wins"),
        pytest.param("\\!x", "!x", True, id="a backslash keeps an exclamation mark"),
        pytest.param("\\#x", "#x", True, id="a backslash keeps a number sign"),
        pytest.param("# x", "# x", False, id="a comment matches nothing"),
        pytest.param("x   ", "x", True, id="trailing spaces go"),
        pytest.param("x\\ ", "x ", True, id="a trailing space stays after a backslash"),
        pytest.param("x\\\\ ", "x\\", True, id="a trailing space goes after an escaped backslash"),
        pytest.param("\ufeffx\r\ny\r\n", "x", True, id="a byte order mark and carriage returns go"),
        pytest.param("?", "é", False, id="a question mark is one byte"),
        pytest.param("[!a]", "a", False, id="a negated set"),
        pytest.param("[[:digit:]].py", "1.py", True, id="a named class"),
        pytest.param("[a", "[a", False, id="a set without an end matches nothing"),
        pytest.param("[]-]x", "]x", True, id="a set may begin with its end"),
        pytest.param("x\\", "x", False, id="a lone backslash at the end matches nothing"),
    ],
)
def test_a_pattern(lines: str, path: str, ignored: bool) -> None:
    file = PatternFile(source="x", patterns=parse_lines(lines.encode()))
    hit = file.decide(path.encode(), folder=False)
    assert (hit is not None and not hit.negated) == ignored


_NAMES = ("a", "b", "x.py", "ab", "é", "]", "-", "a b")
_PIECES = (
    *("*", "**", "?", "/", "a", "b", "ab", "é", "x.py", ".py", " ", "#", "!", "-", "\\"),
    *("[ab]", "[!a]", "[a-c]", "[^b-]", "[]a]", "[a", "[é]", "[[:alpha:]]", "[[:no:]]", "[\\]a]"),
    *("/**", "**/", "*/", "!*/", "/*"),
)
_lines = st.lists(st.lists(st.sampled_from(_PIECES), min_size=1, max_size=5).map("".join), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("judge")
    folders = ["", *(f"{one}/" for one in "ab"), *(f"{one}/{two}/" for one in "ab" for two in "ab")]
    leaves = [f"{folder}{name}" for folder in folders for name in _NAMES]
    trees.make(root, {leaf: "" for leaf in leaves if leaf.count("/") == 2 or leaf[-2:] not in ("a", "b", "/a", "/b")})
    trees.git(root, "init", "-q")
    return root


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_lines)
def test_any_patterns_mean_what_git_says(repository: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    (repository / ".gitignore").write_text(text)
    file = PatternFile(source=".gitignore", patterns=parse_lines(text.encode()))
    assert _kept(repository, file) == trees.git_files(repository) - {".gitignore"}


def _kept(root: Path, file: PatternFile, folder: str = "") -> set[str]:
    kept: set[str] = set()
    for path in (root / folder).iterdir():
        name = f"{folder}{path.name}"
        hit = file.decide(name.encode(), folder=path.is_dir())
        if path.name in (".git", ".gitignore") or (hit and not hit.negated):
            continue
        kept |= _kept(root, file, f"{name}/") if path.is_dir() else {name}
    return kept
