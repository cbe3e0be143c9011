"""The collisions and false changes of the SDK's own tag, row by row: none of them is one of our names.

The SDK's images go through the adapter, so that what is compared is what its users write.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flyte
import pytest
from flyte._image import CodeBundleLayer, PythonWheels
from tests.builder import trees
from tests.builder.doubles import planned, write

from flyte_build.builder.sources import sdk

Make = Callable[[], flyte.Image]
FILES = {
    **trees.WORKSPACE,
    "uv.lock": trees.LOCK,
    "requirements.txt": "-r base.txt\n",
    "base.txt": "idna\n",
    "Dockerfile": "FROM a\nCOPY tree /tree\n",
    "tree/a/bc.py": "1",
    "tree/run.sh": "1",
    "dist/member-1.0-py3-none-any.whl": "1",
    "dist/lib-1.0-py3-none-any.whl": "2",
    "run.py": "# /// script\n# dependencies = ['idna']\n# requires-python = '>=3.10'\n# ///\n",
}


def image() -> flyte.Image:
    return flyte.Image.from_base("registry.test/base:1").clone(name="a", extendable=True, python_version=(3, 12))


def tag(make: Make, folder: Path) -> str:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return planned(sdk.to_spec(make()), folder).tag
    finally:
        os.chdir(before)


def wheels(package: str) -> flyte.Image:
    return image().clone(addl_layer=PythonWheels(wheel_dir=Path("dist"), package_name=package))


def based(name: str) -> flyte.Image:
    return flyte.Image.from_base(name).clone(name="a", extendable=True)


DIFFERENT: list[tuple[str, Make, Make]] = [
    ("1 apt", lambda: image().with_apt_packages("aab", "cc"), lambda: image().with_apt_packages("aa", "bcc")),
    ("1 commands", lambda: image().with_commands(["a", "b"]), lambda: image().with_commands(["ab"])),
    ("1 env", lambda: image().with_env_vars({"A": "1 B=2"}), lambda: image().with_env_vars({"A": "1", "B": "2"})),
    ("2 apt and commands", lambda: image().with_apt_packages("curl"), lambda: image().with_commands(["curl"])),
    ("2 workdir and commands", lambda: image().with_workdir("/a"), lambda: image().with_commands(["/a"])),
    ("2 pip and apt", lambda: image().with_pip_packages("requests"), lambda: image().with_apt_packages("requests")),
    (
        "3 indexes",
        lambda: image().with_pip_packages("x", index_url="https://a.test"),
        lambda: image().with_pip_packages("x", extra_index_urls=["https://a.test"]),
    ),
    (
        "3 pre",
        lambda: image().with_pip_packages("x", pre=True),
        lambda: image().with_pip_packages("x", extra_args="True"),
    ),
    (
        "4 base and command",
        lambda: based("python:3.12").with_commands(["-slim x"]),
        lambda: based("python:3.12-slim").with_commands([" x"]),
    ),
    (
        "5 platform",
        lambda: image().clone(platform=("linux/amd64",)),
        lambda: image().clone(platform=("linux/arm64",)),
    ),
    (
        "5 python",
        lambda: image().with_commands(["a"]),
        lambda: image().clone(python_version=(3, 11)).with_commands(["a"]),
    ),
    ("6 package of wheels", lambda: wheels("member"), lambda: wheels("lib")),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_images_that_differ_have_other_names(tmp_path: Path, one: Make, other: Make) -> None:
    write(tmp_path, FILES)
    assert tag(one, tmp_path) != tag(other, tmp_path)


def edit(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: write(root, {name: text})


def moved(root: Path) -> None:
    (root / "tree/ab").mkdir()
    (root / "tree/a/bc.py").rename(root / "tree/ab/c.py")
    (root / "tree/a").rmdir()


def tree() -> flyte.Image:
    return image().with_source_folder(Path("tree"), "/app")


def dockerfile() -> flyte.Image:
    return flyte.Image.from_dockerfile(Path("Dockerfile"), registry="r.test", name="a")


CHANGED: list[tuple[str, Make, Callable[[Path], object]]] = [
    ("7 a file that a Dockerfile copies", dockerfile, edit("tree/run.sh", "2")),
    (
        "8 a nested requirements file",
        lambda: image().with_requirements(Path("requirements.txt")),
        edit("base.txt", "six\n"),
    ),
    (
        "9 an editable dependency's source",
        lambda: image().with_uv_project(Path("pyproject.toml")),
        edit("other/lib/src/lib/__init__.py", "new"),
    ),
    (
        "9 a workspace member's source",
        lambda: image().with_uv_project(Path("pyproject.toml")),
        edit("member/src/member/__init__.py", "new"),
    ),
    ("10 an executable bit", tree, lambda root: (root / "tree/run.sh").chmod(0o755)),
    ("10 an empty folder", tree, lambda root: (root / "tree/empty").mkdir()),
    ("11 a file that moved", tree, moved),
    ("12 a file that a dockerignore's pattern does not reach", tree, edit("tree/tree/run.sh", "2")),
]


@pytest.mark.parametrize(("make", "change"), [row[1:] for row in CHANGED], ids=[row[0] for row in CHANGED])
def test_what_changes_the_image_changes_its_name(tmp_path: Path, make: Make, change: Callable[[Path], object]) -> None:
    write(tmp_path, {**FILES, ".dockerignore": "tree/nothing\n"})
    before = tag(make, tmp_path)
    change(tmp_path)
    assert tag(make, tmp_path) != before


def test_13_a_base_that_moved_changes_the_name(tmp_path: Path) -> None:
    spec = sdk.to_spec(image())
    digests = [f"{spec.base}@sha256:{letter * 64}" for letter in "ab"]
    assert len({planned(replace(spec, base=base), tmp_path).tag for base in digests}) == 2


def test_14_a_bundle_counts_exactly_the_files_that_it_ships(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    layer = CodeBundleLayer(copy_style="all", dst="/code", root_dir=tmp_path / "tree")

    def make() -> flyte.Image:
        return image().clone(addl_layer=layer)

    before = tag(make, tmp_path)
    write(tmp_path, {"outside.py": "1"})
    assert tag(make, tmp_path) == before
    write(tmp_path, {"tree/new.py": "1"})
    assert tag(make, tmp_path) != before


UNCHANGED: list[tuple[str, Make, Callable[[Path], object]]] = [
    (
        "17 comments in a requirements file",
        lambda: image().with_requirements(Path("requirements.txt")),
        edit("base.txt", "# why\n\nidna  # because\n"),
    ),
    ("16 compiled files", tree, edit("tree/__pycache__/x.pyc", "1")),
    ("16 a nested repository", tree, edit("tree/.git/HEAD", "1")),
    (
        "17 requires-python of a script",
        lambda: flyte.Image.from_uv_script(Path("run.py"), name="a", python_version=(3, 12)),
        edit("run.py", FILES["run.py"].replace("3.10", "3.11")),
    ),
    ("18 a file that the dockerignore leaves out", tree, edit("tree/nothing", "1")),
]


@pytest.mark.parametrize(("make", "change"), [row[1:] for row in UNCHANGED], ids=[row[0] for row in UNCHANGED])
def test_what_does_not_change_the_image_does_not_change_its_name(
    tmp_path: Path, make: Make, change: Callable[[Path], object]
) -> None:
    write(tmp_path, {**FILES, ".dockerignore": "tree/nothing\n"})
    before = tag(make, tmp_path)
    change(tmp_path)
    assert tag(make, tmp_path) == before


def test_15_the_order_of_discovery_means_nothing(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one", FILES), write(tmp_path / "other", dict(reversed(FILES.items())))
    for make in (tree, lambda: wheels("lib")):
        assert tag(make, one) == tag(make, other)


def test_17_the_order_of_variables_means_nothing(tmp_path: Path) -> None:
    one = image().with_env_vars({"A": "1", "B": "2"})
    assert tag(lambda: one, tmp_path) == tag(lambda: image().with_env_vars({"B": "2", "A": "1"}), tmp_path)


def test_17_the_order_of_packages_means_nothing(tmp_path: Path) -> None:
    one = image().with_pip_packages("a", "b")
    assert tag(lambda: one, tmp_path) == tag(lambda: image().with_pip_packages("b", "a"), tmp_path)


def test_18_a_dockerignore_by_another_name_is_the_one_that_counts(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "my.ignore": "tree/nothing\n"})

    def make() -> flyte.Image:
        return tree().with_dockerignore(Path("my.ignore"))

    before = tag(make, tmp_path)
    write(tmp_path, {"tree/nothing": "1"})
    assert tag(make, tmp_path) == before


def test_every_row_of_the_list_has_a_test() -> None:
    rows = [row[0].split()[0] for table in (DIFFERENT, CHANGED, UNCHANGED) for row in table]
    rows += [name.split("_")[1] for name in globals() if name.startswith("test_")]
    assert {int(row) for row in rows if row.isdigit()} == set(range(1, 19))
