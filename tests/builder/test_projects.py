"""Projects, scripts, wheels, bundles: what their names depend on, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.builder import trees
from tests.builder.doubles import image, planned, write

from flyte_build.builder import limits
from flyte_build.builder.files import FileSet
from flyte_build.builder.plan import FileTree, LocalProject, PinnedInstall, PipInstall, ProjectInstall, UvSync
from flyte_build.builder.spec import (
    CodeBundle,
    ImageSpec,
    Layer,
    PipOptions,
    PixiProject,
    PixiScript,
    PoetryProject,
    SecretMount,
    UvProject,
    UvScript,
    Wheels,
)
from flyte_build.builder.uv_lock import public_index
from flyte_build.registry.errors import InvalidSpec

FILES = {
    **trees.WORKSPACE,
    "uv.lock": trees.LOCK,
    "poetry/pyproject.toml": trees.POETRY["pyproject.toml"],
    "poetry/poetry.lock": trees.POETRY_LOCK,
    "poetry/src/app/__init__.py": "1",
    "pixi/pixi.toml": "[workspace]\nname = 'x'\n",
    "pixi/pixi.lock": "version: 6\n",
    "dist/member-1.0-py3-none-any.whl": "wheel",
    "dist/lib-1.0-py3-none-any.whl": "other wheel",
    "run.py": "# /// script\n# dependencies = ['idna']\n# requires-python = '>=3.10'\n# ///\nprint(1)\n",
    "conda.py": "# /// script\n# dependencies = ['idna']\n# [tool.pixi.dependencies]\n# zlib = '*'\n# ///\n",
    "code/a.py": "a",
    "code/deep/b.py": "b",
    "code/c.txt": "c",
}
WITH_OWN = {**FILES, "own.py": "# /// script\n# dependencies = ['file://member']\n# ///\n"}
PROJECT = UvProject(project=".")
WHOLE = UvProject(project=".", install="project")
POETRY = PoetryProject(project="poetry")
BUNDLE = CodeBundle(folder="code", files=("**/*.py",))
LIB, PIXI = Wheels(folder="dist", package="lib"), PixiProject(manifest="pixi/pixi.toml")
SCRIPT, OWN, CONDA = UvScript(script="run.py"), UvScript(script="own.py"), PixiScript(script="conda.py")


def digest(layer: Layer, root: Path) -> str:
    """The tag of an image with one layer."""
    return planned(image().with_layer(layer), root).tag


def edit(file: str, old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return change


SAME: list[tuple[str, Layer, Callable[[Path], object]]] = [
    ("a new version of a uv project", PROJECT, edit("pyproject.toml", '"0.1"', '"0.2"')),
    ("a tool's settings in a uv project", PROJECT, edit("pyproject.toml", "[build", "[tool.ruff]\nx = 1\n[build")),
    ("a uv project's own source", PROJECT, edit("src/app/__init__.py", "member", "member, sys")),
    ("what a build left in a member", PROJECT, lambda root: write(root, {"member/member.egg-info/PKG-INFO": "x"})),
    ("a new version of a Poetry project", POETRY, edit("poetry/pyproject.toml", '"0.1"', '"0.2"')),
    ("a Poetry project's own source", POETRY, edit("poetry/src/app/__init__.py", "1", "2")),
    ("the code of a script", UvScript(script="run.py"), edit("run.py", "print(1)", "print(2)")),
    ("a comment in a script's metadata", UvScript(script="run.py"), edit("run.py", "# ///\n", "# # hello\n# ///\n")),
    ("the code of a pixi script", PixiScript(script="conda.py"), edit("conda.py", "# ///\n", "# ///\nprint(2)\n")),
    (
        "what is no wheel beside wheels",
        Wheels(folder="dist", package="member"),
        lambda root: write(root, {"dist/notes.txt": "x"}),
    ),
    ("a file that no pattern of a bundle names", BUNDLE, edit("code/c.txt", "c", "d")),
]


@pytest.mark.parametrize(("layer", "change"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_means_nothing(tmp_path: Path, layer: Layer, change: Callable[[Path], object]) -> None:
    before = digest(layer, write(tmp_path, FILES))
    change(tmp_path)
    assert digest(layer, tmp_path) == before


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        (WHOLE, replace(WHOLE, project="pyproject.toml")),
        (POETRY, replace(POETRY, project="poetry/pyproject.toml")),
        (PixiProject(manifest="pixi"), PixiProject(manifest="pixi/pixi.toml")),
    ],
    ids=["uv", "Poetry", "pixi"],
)
def test_a_project_is_named_by_its_folder_or_by_the_file_in_it(tmp_path: Path, folder: Layer, file: Layer) -> None:
    write(tmp_path, FILES)
    assert digest(folder, tmp_path) == digest(file, tmp_path)


DIFFERENT: list[tuple[str, Layer, Callable[[Path], object]]] = [
    ("a pin of a uv lock", PROJECT, edit("uv.lock", trees.LOCK.split("sha256:")[1][:64], "0" * 64)),
    ("a workspace member's source", PROJECT, edit("member/src/member/__init__.py", "member", "new")),
    ("an editable dependency's source", PROJECT, edit("other/lib/src/lib/__init__.py", "lib", "new")),
    ("a uv project's version, when it is installed", WHOLE, edit("pyproject.toml", '"0.1"', '"0.2"')),
    ("a uv project's source, when it is installed", WHOLE, edit("src/app/__init__.py", "member", "member, sys")),
    ("a Poetry lock", POETRY, edit("poetry/poetry.lock", "3.7", "3.8")),
    ("what a Poetry project asks for", POETRY, edit("poetry/pyproject.toml", "3.6", "3.5")),
    (
        "a Poetry project's source, when it is installed",
        PoetryProject(project="poetry", install="project"),
        edit("poetry/src/app/__init__.py", "1", "2"),
    ),
    ("a pixi lock", PixiProject(manifest="pixi/pixi.toml"), edit("pixi/pixi.lock", "6", "7")),
    ("what a script asks for", UvScript(script="run.py"), edit("run.py", "idna", "six")),
    ("what a pixi script asks for", PixiScript(script="conda.py"), edit("conda.py", "zlib", "xz")),
    ("a wheel", Wheels(folder="dist", package="member"), edit("dist/member-1.0-py3-none-any.whl", "wheel", "new")),
    ("a file of a bundle", BUNDLE, edit("code/deep/b.py", "b", "c")),
    ("one more file of a bundle", BUNDLE, lambda root: write(root, {"code/deep/new.py": ""})),
]


@pytest.mark.parametrize(("layer", "change"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_counts(tmp_path: Path, layer: Layer, change: Callable[[Path], object]) -> None:
    before = digest(layer, write(tmp_path, FILES))
    change(tmp_path)
    assert digest(layer, tmp_path) != before


OPTIONS: dict[str, list[Layer]] = {
    "a uv project": [
        PROJECT,
        WHOLE,
        replace(PROJECT, options=PipOptions(extra_args="--no-dev")),
        replace(PROJECT, options=PipOptions(extra_args="--extra more")),
        replace(PROJECT, options=PipOptions(index_url="https://a.test")),
        replace(PROJECT, options=PipOptions(extra_index_urls=("https://a.test",))),
        replace(PROJECT, secrets=(SecretMount(name="a"),)),
    ],
    "a Poetry project": [
        POETRY,
        replace(POETRY, install="project"),
        replace(POETRY, extra_args="--only main"),
        replace(POETRY, secrets=(SecretMount(name="a"),)),
    ],
    "wheels": [
        LIB,
        replace(LIB, package="member"),
        replace(LIB, options=PipOptions(pre=True)),
        replace(LIB, secrets=(SecretMount(name="a"),)),
    ],
    "a script": [
        SCRIPT,
        replace(SCRIPT, options=PipOptions(index_url="https://a.test")),
        replace(SCRIPT, secrets=(SecretMount(name="a"),)),
    ],
    "a script that asks for a project": [OWN, replace(OWN, secrets=(SecretMount(name="a"),))],
    "a pixi project": [
        PIXI,
        replace(PIXI, environment="gpu"),
        replace(PIXI, extra_args="--frozen"),
        replace(PIXI, secrets=(SecretMount(name="a"),)),
    ],
    "a pixi script": [
        CONDA,
        replace(CONDA, environment="gpu"),
        replace(CONDA, extra_args="-v"),
        replace(CONDA, secrets=(SecretMount(name="a"),)),
    ],
    "a bundle": [BUNDLE, replace(BUNDLE, to="/x"), replace(BUNDLE, owner="a"), replace(BUNDLE, files=("*.py",))],
}


@pytest.mark.parametrize("layers", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_option_counts(tmp_path: Path, layers: list[Layer]) -> None:
    write(tmp_path, WITH_OWN)
    assert len({digest(layer, tmp_path) for layer in layers}) == len(layers)


@pytest.mark.parametrize("layer", [WHOLE, replace(POETRY, install="project"), OWN], ids=lambda layer: layer.kind)
def test_every_step_of_a_layer_has_its_secrets(tmp_path: Path, layer: Any) -> None:
    secrets = (SecretMount(name="a"),)
    steps = planned(image().with_layer(replace(layer, secrets=secrets)), write(tmp_path, WITH_OWN)).layers
    assert len(steps) > 1
    assert [one for one in steps if getattr(one, "secrets", ()) != secrets] == []


def test_every_option_of_a_project_without_a_lock_counts(tmp_path: Path) -> None:
    head = '[project]\nname = "app"\nversion = "0.1"\nrequires-python = ">=3.10"\ndependencies = ["idna"]\n'
    write(tmp_path, {"pyproject.toml": head, "app.py": "1"})
    layers: list[Layer] = [
        PROJECT,
        WHOLE,
        replace(PROJECT, options=PipOptions(extra_args="--no-dev")),
        replace(WHOLE, options=PipOptions(extra_args="--no-dev")),
        replace(PROJECT, options=PipOptions(index_url="https://a.test")),
        replace(PROJECT, secrets=(SecretMount(name="a"),)),
    ]
    assert len({digest(layer, tmp_path) for layer in layers}) == len(layers)


@pytest.mark.parametrize(
    "layer",
    [WHOLE, POETRY, PixiProject(manifest="pixi/pixi.toml"), Wheels(folder="dist", package="lib"), BUNDLE],
    ids=lambda layer: layer.kind,
)
def test_where_it_lies_means_nothing(tmp_path: Path, layer: Layer) -> None:
    one, other = write(tmp_path / "one", FILES), write(tmp_path / "deep/er", dict(reversed(FILES.items())))
    assert digest(layer, one) == digest(layer, other)


PINNED: list[tuple[Layer, str]] = [
    (PROJECT, "404cd008bc81e998e1c9322b4fd53f2abc8b2104ee1a409db3897cbf42ac6c77"),
    (WHOLE, "1faadab5e78228ff956ae58bc0c9b088022831c7372a1f03d886230a26867c9f"),
    (POETRY, "0b50fe86e5e68d9fae2dbb2c62c7a15e169fb264951238bfd62d0c99d724e664"),
    (PixiProject(manifest="pixi/pixi.toml"), "2d8d2e84447fa1865d88d8ef6dfd968196089945d7f8f79adf0b89a65e023ad9"),
    (PixiScript(script="conda.py"), "835616f337d37bbde451f5749f147cf2f3476bf86a05d86cfba787c0545e3354"),
    (UvScript(script="run.py"), "4a4b0489c42b96414615322e7fa5c69b6f5b33b63152cf50c32c380aefde9b27"),
    (Wheels(folder="dist", package="member"), "19a79f19c3320e2923f7203c321e6be8bdb78212c3ad7b74a5d89d7d3ce8e73d"),
    (BUNDLE, "eafeb4fb91b874e498efdc060e16cba98a489b69f5b892cde34ad1a5814f4a06"),
]


@pytest.mark.parametrize(("layer", "expected"), PINNED, ids=[layer.kind for layer, _ in PINNED])
def test_the_digests_of_recipe_1_never_change(tmp_path: Path, layer: Layer, expected: str) -> None:
    found = planned(image().with_layer(layer), write(tmp_path, FILES))
    assert (found.recipe, found.spec_digest.hex) == (1, expected)


def test_a_locked_project_is_three_steps_each_of_its_own_files(tmp_path: Path) -> None:
    pins, members, own = planned(image().with_layer(WHOLE), write(tmp_path, FILES)).layers
    assert isinstance(pins, PinnedInstall)
    assert [file.path for file in pins.tree.files] == ["pins.txt"]
    assert isinstance(members, ProjectInstall)
    assert members.projects == (LocalProject(path="0-member"), LocalProject(path="1-lib"))
    assert isinstance(own, ProjectInstall)
    assert own.projects == (LocalProject(path="project"),)


def test_a_member_of_a_workspace_is_locked_by_the_workspace(tmp_path: Path) -> None:
    (pins,) = planned(image().with_uv_project("member"), write(tmp_path, FILES)).layers
    assert isinstance(pins, PinnedInstall)


def test_an_index_of_the_lock_is_an_index_of_the_step(tmp_path: Path) -> None:
    lock = trees.LOCK.replace(public_index(), "https://torch.test/whl", 1)
    pins = planned(image().with_layer(PROJECT), write(tmp_path, {**FILES, "uv.lock": lock})).layers[0]
    assert isinstance(pins, PinnedInstall)
    assert pins.options.extra_index_urls == ("https://torch.test/whl",)


def test_an_unlocked_project_is_synchronised_with_its_own_words(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "[project]\nname = 'a'\nversion = '1'\ndependencies = ['idna']\n"})
    layer = UvProject(project=".", options=PipOptions(extra_args="--group x --no-install-project"))
    (sync,) = planned(image().with_layer(layer), tmp_path).layers
    assert isinstance(sync, UvSync)
    assert (sync.arguments, sync.project) == (("--group", "x"), False)


def test_a_script_may_exclude_what_is_newer(tmp_path: Path) -> None:
    text = "# /// script\n# dependencies = ['idna']\n# [tool.uv]\n# exclude-newer = '2024-01-01T00:00:00Z'\n# ///\n"
    (layer,) = planned(image().with_uv_script("run.py"), write(tmp_path, {"run.py": text})).layers
    assert isinstance(layer, PipInstall)
    assert layer.options.extra_args == "--exclude-newer 2024-01-01T00:00:00Z"


def problems(spec: ImageSpec, root: Path) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        planned(spec, root)
    return [str(problem) for problem in caught.value.problems]


WRONG: list[tuple[str, Layer, dict[str, str], str]] = [
    ("no project", UvProject(project="gone"), {}, "uv_project: 'gone' does not exist (name the folder"),
    ("a lock that is a folder", replace(PROJECT, lock="code"), {}, "uv_project: the lock 'code' is a folder"),
    ("a lock that is none", PROJECT, {"uv.lock": "version = 1\n"}, "uv_project: uv.lock does not know the project"),
    ("a lock that is no TOML", PROJECT, {"uv.lock": "<<<"}, "uv_project: uv.lock is not TOML"),
    (
        "a request that the lock does not know",
        PROJECT,
        {"pyproject.toml": trees.WORKSPACE["pyproject.toml"].replace('"member",', '"member", "httpx>=1",')},
        "uv_project: pyproject.toml asks for httpx>=1, and uv.lock was made for no request of it (run `uv lock` in .)",
    ),
    (
        "another version than the lock's",
        PROJECT,
        {"pyproject.toml": trees.WORKSPACE["pyproject.toml"].replace("idna>=3.6", "idna>=3.7")},
        "uv_project: pyproject.toml asks for idna>=3.7, and uv.lock was made for an older request of it",
    ),
    (
        "a group that the lock does not know",
        PROJECT,
        {"pyproject.toml": trees.WORKSPACE["pyproject.toml"].replace('["iniconfig"]', '["pytest"]')},
        "uv_project: pyproject.toml asks for pytest in the group 'dev', and uv.lock was made for no request of it",
    ),
    (
        "an argument that names a place",
        replace(PROJECT, options=PipOptions(extra_args="--output-file /etc/x")),
        {},
        "uv_project: extra_args: '--output-file' does not choose packages of a lock",
    ),
    (
        "a group that is not there",
        replace(PROJECT, options=PipOptions(extra_args="--group gone")),
        {},
        "uv_project: uv.lock cannot be read: ",
    ),
    (
        "a member that is gone",
        UvProject(project="alone"),
        {"alone/pyproject.toml": trees.WORKSPACE["pyproject.toml"], "alone/uv.lock": trees.LOCK},
        "uv_project: the project depends on './member', which does not exist",
    ),
    ("a mode that is none", replace(PROJECT, install="all"), {}, "uv_project.install: is 'all'; use one"),  # type: ignore[arg-type]
    ("no Poetry lock", PoetryProject(project="."), {}, "poetry_project: the project '.' has no poetry.lock (run"),
    (
        "a request that the Poetry lock does not know",
        POETRY,
        {"poetry/pyproject.toml": trees.POETRY["pyproject.toml"].replace('"idna>=3.6"', '"six"')},
        "poetry_project: pyproject.toml asks for six, which poetry.lock does not know (run `poetry lock`)",
    ),
    ("a script without metadata", UvScript(script="code/a.py"), {}, "uv_script: a.py has no inline metadata"),
    (
        "a script for another Python",
        UvScript(script="run.py"),
        {"run.py": "# /// script\n# requires-python = '>=3.13'\n# ///\n"},
        "uv_script: the script wants Python >=3.13, and the image has 3.12 (change `python`)",
    ),
    (
        "a folder without a project",
        PixiProject(manifest="code"),
        {},
        "pixi_project: the folder 'code' has no pixi.toml and no pyproject.toml (name the folder",
    ),
    ("no wheels", Wheels(folder="code", package="x"), {}, "wheels: 'code' has no wheel of 'x' (its wheels: none)"),
    (
        "no wheel of that name",
        Wheels(folder="dist", package="x"),
        {},
        "wheels: 'dist' has no wheel of 'x' (its wheels: l",
    ),
    (
        "a pattern that matches nothing",
        replace(BUNDLE, files=("*.rs",)),
        {},
        "code_bundle: no file below 'code' matches",
    ),
    (
        "a pattern that leads out",
        replace(BUNDLE, files=("../*.py",)),
        {},
        "code_bundle.files[0]: '../*.py' is not",
    ),
    (
        "a manifest of another name",
        PixiProject(manifest="run.py"),
        {},
        "pixi_project: 'run.py' is not a project (name the folder",
    ),
    (
        "an environment that is a path",
        PixiProject(manifest="pixi/pixi.toml", environment="../x"),
        {},
        "pixi_project.environment: '../x' is not the name of a pixi environment",
    ),
]


@pytest.mark.parametrize(("layer", "files", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, layer: Layer, files: dict[str, str], said: str) -> None:
    write(tmp_path, {**FILES, **files})
    (found,) = problems(image().with_layer(layer), tmp_path)
    assert found.startswith(f"layers[0].{said}")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    spec = image().with_uv_project("gone").with_code_bundle("code", "*.rs").with_wheels("gone", "x")
    assert len(problems(replace(spec, dockerignore="gone"), tmp_path)) == 4


def test_a_context_over_the_limit_is_refused_with_its_largest_files(tmp_path: Path, monkeypatch: Any) -> None:
    from flyte_build.builder import resolve

    write(tmp_path, {f"src/{number:02}": "x" * number for number in range(1, 21)})
    monkeypatch.setattr(resolve, "require_size", lambda trees: limits.require_size(trees, 100))
    (found,) = problems(image().with_copy("src"), tmp_path)
    assert "its files have 210 bytes, and 100 is the most" in found
    assert [line.split()[-1] for line in found.splitlines()[1:]] == [f"src/{number:02}" for number in range(20, 10, -1)]


def test_what_comes_after_the_limit_is_counted_and_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"one": "1" * 60, "same": "1" * 60, "two": "2" * 60, "three": "3" * 60})
    files = FileSet(limit=100)
    added = [files.add(tmp_path / name, name) for name in ("one", "same", "two", "three")]
    assert files.full
    assert [(file.size, len(file.sha256) == 64) for file in added] == [(60, True), (60, True), (60, True), (60, False)]
    assert list(limits.require_size((FileTree(files=tuple(added)),), 100))


def test_a_file_that_is_too_large_by_itself_is_not_read(tmp_path: Path) -> None:
    os.truncate(write(tmp_path, {"data/disk": ""}) / "data/disk", 1 << 40)
    (found,) = problems(image().with_copy("data"), tmp_path)
    assert "its files have 1,099,511,627,776 bytes" in found


def test_a_lock_is_read_without_running_anything_of_the_project(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, ".venv/bin/python": "#!/bin/sh\ntouch $0.ran\n"}, executable=(".venv/bin/python",))
    before = sorted(tmp_path.rglob("*"))
    planned(image().with_layer(WHOLE), tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
