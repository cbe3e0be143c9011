"""Our bundles in the hands of the unmodified SDK: its entry point unpacks and runs them, its bundler is compared."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from flyteidl2.core.execution_pb2 import ErrorDocument
from flyteidl2.task.common_pb2 import Inputs, Outputs
from tests.bundler import trees
from tests.e2e.conftest import BIN, Done, run

from flyte_build.bundler.modules import find_needs
from flyte_build.bundler.tree import SourceTree, list_tree

pytestmark = pytest.mark.real

PROGRAM = {
    "flows/__init__.py": "",
    "flows/main.py": """
import stat
from pathlib import Path
import flyte
from flows.lib.helper import double

env = flyte.TaskEnvironment(name="bundled")

@env.task
async def work() -> str:
    here = Path(__file__).parent
    data = (here / "data" / "größe.txt").read_text()
    mode = stat.S_IMODE((here / "tool.sh").stat().st_mode)
    return f"{double(21)} {data} {mode:o} {(here / 'link.txt').read_text()}"
""",
    "flows/lib/__init__.py": "",
    "flows/lib/helper.py": "def double(x):\n    return 2 * x\n",
    "flows/data/größe.txt": "groß",
    "flows/tool.sh": "#!/bin/sh\n",
    "flows/link.txt": "->data/größe.txt",
    "flows/" + "long" * 40 + ".txt": "a name that needs a PAX header",
}


def entry_point(place: Path, *arguments: str) -> tuple[Done, str]:
    """The SDK's `a0` in an empty folder, as a pod starts it, and the text that the task returned."""
    work = place / "pod"
    work.mkdir()
    (place / "inputs.pb").write_bytes(Inputs().SerializeToString())
    env = {
        "_U_RUN_BASE": str(place / "run"),
        "_U_ORG_NAME": "local",
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
        "HOME": str(place),
        "PYTHONPATH": "",
    }
    (place / "out").mkdir()
    common = ["--inputs", str(place / "inputs.pb"), "--outputs-path", str(place / "out"), "--version", "v"]
    common += ["--raw-data-path", str(place / "raw"), "--checkpoint-path", str(place / "c"), "--prev-checkpoint", ""]
    common += ["--run-name", "r1", "--name", "a0", "--dest", "."]
    done = run("a0", *common, *arguments, cwd=work, env=env)
    if (place / "out" / "error.pb").exists():
        pytest.fail(str(ErrorDocument.FromString((place / "out" / "error.pb").read_bytes())) + done.err)
    outputs = Outputs.FromString((place / "out" / "outputs.pb").read_bytes())
    return done, str(outputs.literals[0].value.scalar.primitive.string_value)


RESOLVER = (
    "--resolver",
    "flyte._internal.resolvers.default.DefaultTaskResolver",
    "mod",
    "flows.main",
    "instance",
    "work",
)
SAID = "42 groß 755 groß"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = trees.make(tmp_path / "project", PROGRAM)
    (root / "flows/tool.sh").chmod(0o700)
    return root


def packed(root: Path, to: Path, *flags: str) -> Path:
    done = run("flyte-build", "bundle", str(root), "--output", str(to), *flags, env={"HOME": str(to.parent)})
    assert done.code == 0, done.err
    return to


def test_the_sdk_runs_a_task_from_our_archive_of_a_tree(project: Path, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "bundle.tar.gz")
    assert entry_point(tmp_path, "--tgz", str(archive), *RESOLVER)[1] == SAID
    extracted = {path.relative_to(tmp_path / "pod").as_posix() for path in (tmp_path / "pod").rglob("*")}
    assert {name for name in extracted if not name.startswith(".bundle") and "__pycache__" not in name} >= set(PROGRAM)


def test_the_sdk_runs_a_task_from_our_archive_of_its_entry_point(project: Path, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "bundle.tar.gz", "--entrypoint", "flows/main.py", "--include", "flows/data",
                     "--include", "flows/*.sh", "--include", "flows/link.txt")  # fmt: skip
    assert entry_point(tmp_path, "--tgz", str(archive), *RESOLVER)[1] == SAID


def test_the_sdk_runs_a_task_from_our_pickle(tmp_path: Path) -> None:
    program = (
        "import flyte, helper_of_pickle\n"
        "env = flyte.TaskEnvironment(name='pickled')\n"
        "@env.task\nasync def work() -> str:\n    return helper_of_pickle.said()\n"
    )
    files = {"pickled_program.py": program, "helper_of_pickle.py": "def said():\n    return 'from a pickle'\n"}
    root = trees.make(tmp_path / "project", files)
    archive = packed(root, tmp_path / "bundle.pkl.gz", "--pickle", "pickled_program:work")
    assert entry_point(tmp_path, "--pkl", str(archive))[1] == "from a pickle"


def test_plain_tar_of_the_system_extracts_the_same_tree(project: Path, tmp_path: Path) -> None:
    archive = packed(project, tmp_path / "bundle.tar.gz")
    (tmp_path / "out").mkdir()
    # What the SDK calls, to the letter.
    subprocess.run(["tar", "--overwrite", "-xvf", archive, "-C", tmp_path / "out"], check=True, capture_output=True)
    ours, theirs = (list_tree(SourceTree(root=root)).digest for root in (project, tmp_path / "out"))
    assert ours == theirs


def sdk_files(root: Path, copy_style: str = "all") -> set[str]:
    """What the SDK's bundler takes, relative to `root`."""
    from flyte._code_bundle._ignore import FlyteIgnore, GitIgnore, StandardIgnore
    from flyte._code_bundle._packaging import list_files_to_bundle

    files, _ = list_files_to_bundle(root, True, StandardIgnore, GitIgnore, FlyteIgnore, copy_style=copy_style)  # type: ignore[arg-type]
    return {os.path.relpath(path, root) for path in files}


def our_files(root: Path, include: tuple[str, ...] = ()) -> set[str]:
    return {entry.path for entry in list_tree(SourceTree(root=root, include=include)).manifest.entries}


PLAIN: Mapping[str, str | bytes] = {
    "main.py": "",
    "pkg/__init__.py": "",
    "pkg/deep/er/module.py": "",
    "data/x.csv": "1",
    ".flyteignore": "*.log\n/data/*.tmp\n",
    "a.log": "",
    "data/y.tmp": "",
    "pkg/__pycache__/x.pyc": "",
    ".venv/lib/x.py": "",
    "README.md": "",
}


def test_on_a_plain_tree_both_take_the_same_files(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", PLAIN)
    assert our_files(root) == sdk_files(root)


def test_in_a_repository_both_take_the_same_files(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {**PLAIN, ".gitignore": "secret.txt\nout/\n", "secret.txt": "", "out/x": ""})
    trees.git(root, "init", "-q")
    trees.git(root, "add", "main.py", "pkg/__init__.py")
    assert our_files(root) == sdk_files(root)


DIFFERENCES = {
    "the SDK drops folders by their name, at the top": (
        {"build/x.py": "", "dist/y.py": "", "env/z.py": "", "main.py": ""},
        {"build/x.py", "dist/y.py", "env/z.py"},
        set[str](),
    ),
    "the SDK walks every folder once, and so loses a link to one": (
        {"real/x.py": "", "link": "->real", "file.py": "->real/x.py"},
        {"link"},
        set[str](),
    ),
    "a virtual environment is known by its mark, not its name": (
        {"mine/pyvenv.cfg": "", "mine/lib/x.py": "", "main.py": ""},
        set[str](),
        {"mine/pyvenv.cfg", "mine/lib/x.py"},
    ),
    "what tools leave behind is junk at any depth": (
        {"ui/node_modules/x/index.js": "", "main.py": ""},
        set[str](),
        {"ui/node_modules/x/index.js"},
    ),
}


@pytest.mark.parametrize(("files", "only_ours", "only_theirs"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_the_two_differ_where(
    tmp_path: Path, files: dict[str, str | bytes], only_ours: set[str], only_theirs: set[str]
) -> None:
    root = trees.make(tmp_path / "t", files)
    ours, theirs = our_files(root), sdk_files(root)
    assert (ours - theirs, theirs - ours) == (only_ours, only_theirs)


def test_the_sdk_ships_what_we_refuse(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", {"main.py": "", "conf/.env": "TOKEN=1", "id_rsa": "x"})
    assert {"conf/.env", "id_rsa"} <= sdk_files(root)
    done = run("flyte-build", "bundle", str(root), "--dry-run", env={"HOME": str(tmp_path)})
    assert done.code == 1
    assert "looks like a secret" in done.err
    assert our_files(root, ("conf/.env", "id_rsa")) == {"main.py", "conf/.env", "id_rsa"}


def test_modes_and_moves_change_our_digest_and_not_theirs(tmp_path: Path) -> None:
    from flyte._code_bundle._packaging import list_files_to_bundle

    def digests(root: Path) -> tuple[str, str]:
        return str(list_tree(SourceTree(root=root)).digest), list_files_to_bundle(root, True, copy_style="all")[1]

    one = trees.make(tmp_path / "one", {"a/bc.py": "x", "run.sh": ""})
    moved = trees.make(tmp_path / "moved", {"ab/c.py": "x", "run.sh": ""})
    executable = trees.make(tmp_path / "mode", {"a/bc.py": "x", "run.sh": ""})
    (executable / "run.sh").chmod(0o755)
    ours, theirs = zip(*(digests(root) for root in (one, moved, executable)), strict=True)
    assert len(set(ours)) == 3
    assert len(set(theirs)) == 1


LOADED = {
    "main.py": "import a\ndef f():\n    import lazy\n",
    "a.py": "import b.c\n",
    "b/__init__.py": "",
    "b/c.py": "",
    "lazy.py": "",
    "unused.py": "",
}


def test_of_an_entry_point_we_take_what_is_loaded_and_what_is_imported_later(tmp_path: Path) -> None:
    root = trees.make(tmp_path / "t", LOADED)
    code = (
        "import sys, runpy; from pathlib import Path; root = Path(sys.argv[1]); sys.path.insert(0, str(root))\n"
        "import main\n"
        "from flyte._code_bundle._utils import list_imported_modules_as_files\n"
        "print('\\n'.join(list_imported_modules_as_files(str(root), list(sys.modules.values()))))"
    )
    done = subprocess.run([BIN / "python", "-c", code, root], check=True, capture_output=True, text=True)
    loaded = {os.path.relpath(path, root) for path in done.stdout.split()}
    needs = find_needs(root, Path("main.py"))
    ours = {entry.path for entry in list_tree(SourceTree(root=root, only=needs.only)).manifest.entries}
    assert ours == loaded | {"lazy.py"} == set(LOADED) - {"unused.py"}


def test_the_sdk_unpacks_an_archive_that_it_downloads(project: Path, tmp_path: Path) -> None:
    """Its own download, with its locks and markers, in this process."""
    from flyte._code_bundle.bundle import download_bundle
    from flyte.models import CodeBundle

    archive = packed(project, tmp_path / "bundle.tar.gz")
    bundle = CodeBundle(tgz=str(archive), destination=str(tmp_path / "to"), computed_version="v")
    asyncio.run(download_bundle(bundle))
    assert (tmp_path / "to/flows/link.txt").read_text() == "groß"
