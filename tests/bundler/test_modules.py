"""What an entry point needs: found by reading, in the layouts that projects have."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from flyte_build.bundler.explain import explain
from flyte_build.bundler.imports import absolute, read_asks
from flyte_build.bundler.modules import find_needs
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import InvalidTree

from . import trees


def bundled(root: Path, entry: str, include: tuple[str, ...] = ()) -> set[str]:
    """The paths of the bundle of an entry point."""
    needs = find_needs(root, Path(entry))
    tree = SourceTree(root=root, also=needs.also, only=needs.only, include=include)
    return {one.path for one in list_tree(tree).manifest.entries}


LAYOUTS = {
    "a module beside it": ({"main.py": "import a", "a.py": "", "b.py": ""}, {"main.py", "a.py"}),
    "an import inside a function": ({"main.py": "def f():\n    import a", "a.py": ""}, {"main.py", "a.py"}),
    "an import for type checkers": (
        {"main.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import X", "a.py": ""},
        {"main.py", "a.py"},
    ),
    "an import that may fail": (
        {"main.py": "try:\n    import a\nexcept ImportError: pass", "a.py": ""},
        {"main.py", "a.py"},
    ),
    "imports of imports": (
        {"main.py": "import a", "a.py": "import b", "b.py": "import a"},
        {"main.py", "a.py", "b.py"},
    ),
    "a module of a package, with every __init__ above": (
        {"main.py": "import p.q.r", "p/__init__.py": "", "p/q/__init__.py": "", "p/q/r.py": "", "p/x.py": ""},
        {"main.py", "p/__init__.py", "p/q/__init__.py", "p/q/r.py"},
    ),
    "a name that is a module, and one that is not": (
        {"main.py": "from p import m, value", "p/__init__.py": "value = 1", "p/m.py": ""},
        {"main.py", "p/__init__.py", "p/m.py"},
    ),
    "relative imports": (
        {
            "main.py": "import p.a",
            "p/__init__.py": "",
            "p/a.py": "from . import b\nfrom .c import x\nfrom .q import d",
            "p/b.py": "",
            "p/c.py": "",
            "p/q/__init__.py": "from .. import e",
            "p/q/d.py": "",
            "p/e.py": "",
        },
        {
            "main.py",
            *(f"p/{name}" for name in ("__init__.py", "a.py", "b.py", "c.py", "e.py", "q/__init__.py", "q/d.py")),
        },
    ),
    "all that a package exports": (
        {"main.py": "from p import *", "p/__init__.py": "__all__ = ['a', 'v']", "p/a.py": "", "p/b.py": ""},
        {"main.py", "p/__init__.py", "p/a.py"},
    ),
    "a namespace package": ({"main.py": "import n.a", "n/a.py": "", "n/b.py": ""}, {"main.py", "n/a.py"}),
    "a module by a literal name": (
        {"main.py": "import importlib\nimportlib.import_module('a')\n__import__('b')", "a.py": "", "b.py": ""},
        {"main.py", "a.py", "b.py"},
    ),
    "a src layout": (
        {"flows/main.py": "import p", "src/p/__init__.py": "", "src/other.py": "", "pyproject.toml": ""},
        {"flows/main.py", "src/p/__init__.py"},
    ),
    "an entry point in a package": (
        {"src/p/main.py": "from .a import x", "src/p/__init__.py": "", "src/p/a.py": ""},
        {"src/p/main.py", "src/p/__init__.py", "src/p/a.py"},
    ),
    "a project's module before the standard library's": (
        {"main.py": "import json", "json.py": ""},
        {"main.py", "json.py"},
    ),
    "what is ignored but imported": (
        {"main.py": "import made", "made.py": "", ".gitignore": "made.py", ".flyteignore": "made.py"},
        {"main.py", "made.py"},
    ),
    "a link to a module, and the module": (
        {"main.py": "import a", "a.py": "->lib/real.py", "lib/real.py": "import b", "b.py": ""},
        {"main.py", "a.py", "lib/real.py", "b.py"},
    ),
    "a package behind a link": (
        {"main.py": "import p.m", "p": "->vendor/p", "vendor/p/__init__.py": "", "vendor/p/m.py": ""},
        {"main.py", "p", "vendor/p/__init__.py", "vendor/p/m.py"},
    ),
    "a compiled module": ({"main.py": "import a", "a.abi3.so": "x"}, {"main.py", "a.abi3.so"}),
    "data that a package declares": (
        {
            "pyproject.toml": "[tool.setuptools.package-data]\np = ['*.json', 'sql/**/*.sql']\n'*' = ['*.txt']",
            "main.py": "import p.m",
            "p/__init__.py": "",
            "p/m.py": "",
            "p/py.typed": "",
            "p/a.json": "",
            "p/a.txt": "",
            "p/a.csv": "",
            "p/sql/x/q.sql": "",
            "q/a.txt": "",
        },
        {"main.py", *(f"p/{name}" for name in ("__init__.py", "m.py", "py.typed", "a.json", "a.txt", "sql/x/q.sql"))},
    ),
    "data that a package declares which is imported alone": (
        {
            "pyproject.toml": "[tool.flyte-build.package-data]\np = ['*.json']",
            "main.py": "import p",
            "p/__init__.py": "",
            "p/a.json": "",
        },
        {"main.py", "p/__init__.py", "p/a.json"},
    ),
    "data that is opened as a resource": (
        {
            "main.py": "from importlib.resources import files\nfiles('p.data') / 'x'",
            "p/__init__.py": "",
            "p/data/__init__.py": "",
            "p/data/x.bin": "x",
        },
        {"main.py", "p/__init__.py", "p/data/__init__.py", "p/data/x.bin"},
    ),
    "files that an environment includes": (
        {
            "main.py": "import flyte\nenv = flyte.TaskEnvironment(name='e', include=('conf', '*.sql'))",
            "conf/a.yaml": "",
            "conf/__pycache__/a.pyc": "",
            "q.sql": "",
            "q.txt": "",
        },
        {"main.py", "conf/a.yaml", "q.sql"},
    ),
    "members of a uv workspace": (
        {
            "pyproject.toml": "[tool.uv.workspace]\nmembers = ['packages/*']\nexclude = ['packages/old']",
            "main.py": "import one, two, old",
            "packages/one/pyproject.toml": "",
            "packages/one/src/one/__init__.py": "import two.x",
            "packages/two/pyproject.toml": "",
            "packages/two/two/__init__.py": "",
            "packages/two/two/x.py": "",
            "packages/old/pyproject.toml": "",
            "packages/old/old.py": "",
        },
        {
            "main.py",
            "packages/one/src/one/__init__.py",
            "packages/two/two/__init__.py",
            "packages/two/two/x.py",
        },
    ),
}


@pytest.mark.parametrize(("files", "expected"), LAYOUTS.values(), ids=LAYOUTS)
def test_an_entry_point_takes_along(tmp_path: Path, files: dict[str, str], expected: set[str]) -> None:
    root = trees.make(tmp_path / "t", files)
    entry = next(name for name in files if name.endswith("main.py"))
    assert bundled(root, entry) == expected


def test_an_include_comes_on_top(tmp_path: Path) -> None:
    files = {"main.py": "import a", "a.py": "", "data/x.bin": "x", "data/y.bin": "y", "node_modules/z.bin": "z"}
    root = trees.make(tmp_path / "t", files)
    assert bundled(root, "main.py", ("data",)) == {"main.py", "a.py", "data/x.bin", "data/y.bin"}
    assert bundled(root, "main.py", ("x.bin",)) == {"main.py", "a.py", "data/x.bin"}


def test_a_likely_secret_is_refused_also_when_it_is_declared(tmp_path: Path) -> None:
    files = {"main.py": "E = TaskEnvironment(include=('conf',))", "conf/.env": "TOKEN=1"}
    with pytest.raises(InvalidTree, match=r"looks like a secret.*conf/\.env"):
        bundled(trees.make(tmp_path / "t", files), "main.py")


def test_an_editable_install_from_outside_is_laid_over_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = trees.make(tmp_path / "t", {"main.py": "import shared.x"})
    trees.make(tmp_path / "lib", {"src/shared/__init__.py": "", "src/shared/x.py": "", "src/shared/y.py": ""})
    link = {"url": (tmp_path / "lib").as_uri(), "dir_info": {"editable": True}}
    site = trees.make(
        tmp_path / "site",
        {
            "shared-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: shared\nVersion: 1.0\n",
            "shared-1.0.dist-info/direct_url.json": json.dumps(link),
        },
    )
    monkeypatch.syspath_prepend(str(site))
    assert bundled(root, "main.py") == {"main.py", "shared/__init__.py", "shared/x.py"}


def workspace(at: Path, extra: str = "") -> Path:
    """A member of a workspace, beside another that it imports."""
    files = {
        "pyproject.toml": f"[tool.uv.workspace]\nmembers = ['apps/*', 'libs/*']\n{extra}",
        "apps/svc/pyproject.toml": "",
        "apps/svc/main.py": "from common import a",
        "libs/common/pyproject.toml": "[tool.setuptools.package-data]\ncommon = ['*.txt']",
        "libs/common/src/common/__init__.py": "",
        "libs/common/src/common/a.py": "",
        "libs/common/src/common/r.txt": "",
    }
    return trees.make(at, files) / "apps/svc"


def test_a_member_of_a_workspace_finds_the_others(tmp_path: Path) -> None:
    files = {"main.py", "common/__init__.py", "common/a.py", "common/r.txt"}
    assert bundled(workspace(tmp_path / "t"), "main.py") == files


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("exclude = ['apps/svc']", id="that excludes it"),
        pytest.param("[", id="that cannot be read"),
    ],
)
def test_a_folder_is_no_member_of_a_workspace(tmp_path: Path, change: str) -> None:
    assert bundled(workspace(tmp_path / "t", change), "main.py") == {"main.py"}


def test_a_workspace_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    member = workspace(tmp_path / "t")
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        if path != tmp_path / "t/pyproject.toml":
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:10]))

    monkeypatch.setattr(Path, "stat", stat)
    assert bundled(member, "main.py") == {"main.py"}


def test_it_is_said_which_folders_belong_on_the_path(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"flows/main.py": "import p", "src/p/__init__.py": ""})
    assert find_needs(root, Path("flows/main.py")).paths == ("src",)
    assert find_needs(root, root / "flows/main.py").paths == ("src",)


def test_what_cannot_be_followed_is_said(tmp_path: Path) -> None:
    files = {"main.py": "import a, importlib\nimportlib.import_module(name)", "a.py": "print 'two'"}
    notes = find_needs(trees.make(tmp_path / "t", files), Path("main.py")).notes
    assert len(notes) == 2
    assert notes[0].startswith("main.py, line 2, imports a module by a name that only a run can tell")
    assert notes[1] == "a.py, line 1, is not Python, so what it imports is not followed"


def test_a_file_is_said_by_its_path(tmp_path: Path) -> None:
    files = {"apps/main.py": "import bad, importlib\nimportlib.import_module(name)", "apps/bad.py": "print 'two'"}
    root = trees.make(tmp_path / "t", files)
    needs = find_needs(root, Path("apps/main.py"))
    assert needs.notes[0].startswith("apps/main.py, line 2, imports")
    assert needs.notes[1].startswith("apps/bad.py, line 1, is not Python")
    assert needs.only[0].files["apps/bad.py"] == "apps/main.py, line 1, imports bad"


def test_explain_says_who_imports(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"main.py": "\nimport p.a", "p/a.py": "", "p/b.py": ""})
    needs = find_needs(root, Path("main.py"))
    tree = SourceTree(root=root, only=needs.only)
    assert explain(tree, "p/a.py").why == "main.py, line 2, imports p.a"
    assert explain(tree, "main.py").why == "it is the entry point"
    assert not explain(tree, "p/b.py").kept


@pytest.mark.parametrize(
    ("files", "entry", "says"),
    [
        pytest.param({"a.py": ""}, "b.py", "the entry point b.py is not a file", id="missing"),
        pytest.param({"a.py": ""}, "../t2/a.py", "is not a file in", id="outside"),
        pytest.param({"a.py": "def"}, "a.py", "a.py, line 1, is not Python", id="not Python"),
        pytest.param({"a.py": b"\0"}, "a.py", "is not Python", id="binary"),
        pytest.param(
            {"a.py": "", "pyproject.toml": "["}, "a.py", "pyproject.toml cannot be read", id="beside a broken project"
        ),
        pytest.param(
            {"a.py": "", "pyproject.toml": "[tool.uv.workspace]\nmembers=['/abs']"},
            "a.py",
            "not a pattern",
            id="of an odd workspace",
        ),
    ],
)
def test_an_entry_point_cannot_be(tmp_path: Path, files: dict[str, str | bytes], entry: str, says: str) -> None:
    trees.make(tmp_path / "t2", {"a.py": ""})
    with pytest.raises(InvalidTree, match=says):
        find_needs(trees.make(tmp_path / "t", files), Path(entry))


@pytest.mark.parametrize(
    ("name", "package", "found"),
    [
        ("a.b", "p", "a.b"),
        (".", "p.q", "p.q"),
        (".a", "p.q", "p.q.a"),
        ("..a", "p.q", "p.a"),
        ("..", "p.q", "p"),
        ("...a", "p.q", ""),
        (".a", "", ""),
    ],
)
def test_relative_names_are_resolved_as_python_does(name: str, package: str, found: str) -> None:
    assert absolute(name, package) == found


def test_a_deep_expression_is_no_crash(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"main.py": "import a", "a.py": "x = " + "(" * 5000 + ")" * 5000})
    assert bundled(root, "main.py") == {"main.py", "a.py"}


def test_two_roots_are_laid_over_each_other_unless_they_disagree(tmp_path: Path) -> None:
    one = trees.make(tmp_path / "one", {"a.py": "1", "same.py": "x", ".flyteignore": "*.log", "x.log": ""})
    two = trees.make(tmp_path / "two", {"b.py": "2", "same.py": "x", "y.log": ""})
    listing = list_tree(SourceTree(root=one, also=(two,)))
    assert {entry.path for entry in listing.manifest.entries} == {".flyteignore", "a.py", "b.py", "same.py", "y.log"}
    assert listing.homes == {"b.py": two, "same.py": two, "y.log": two}
    (two / "same.py").write_text("y")
    with pytest.raises(InvalidTree, match=r"same\.py is in .*two and, with other content, in another folder"):
        list_tree(SourceTree(root=one, also=(two,)))


def test_calls_and_names_are_read_without_running_anything() -> None:
    asks = read_asks(b"raise SystemExit(1)\nimport a.b as c\n", "")
    assert [wanted.name for wanted in asks.modules] == ["a.b"]
