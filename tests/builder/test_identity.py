"""What an image's name depends on: all that changes the image, and nothing else."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64, image, planned, write

from flyte_build.builder.recipe import RECIPE, uv_wheel
from flyte_build.builder.spec import Apt, Commands, Copy, Env, ImageSpec, PipOptions, SecretMount, User, Workdir

TREE = {
    "src/app/main.py": "print(1)",
    "src/app/run.sh": "#!/bin/sh",
    "src/app/latest": "-> main.py",
    "src/lib/__init__.py": "",
    "src/data/": "",
    "requirements.txt": "-r more/base.txt\nhttpx",
    "more/base.txt": "numpy",
}
EVERYTHING = (
    image(platforms=(AMD64, ARM64))
    .with_apt("git", "curl")
    .with_requirements("requirements.txt")
    .with_pip("numpy>=2", "httpx", options=PipOptions(index_url="https://index.test/simple", pre=True))
    .with_env({"B": "2", "A": "1"})
    .with_commands("echo 1", "echo 2", secrets=(SecretMount(name="token", env="TOKEN"),))
    .with_copy("src", to="/app", ignore=("*.md",))
    .with_workdir("/app")
    .with_user("flyte")
)


def digest(spec: ImageSpec, root: Path = Path()) -> str:
    """The spec digest in hex."""
    return planned(spec, root).spec_digest.hex


PINNED = [
    ("an empty spec", ImageSpec(name="a"), "8a35cd0a3dca8bc82c8e14e8f201724074cf0ed0bde4ca34722fd8e0e09d1756"),
    ("apt packages", image().with_apt("git"), "1567ef4d810db552bcb55276c718d45cdf95f6eec81e988dd6929ae35d0064ca"),
    (
        "pip packages",
        image().with_pip("numpy", "httpx>=0.27"),
        "0c16819a4b3a3bdc197b03c9ffbb6dc2e7af4278ed157e0ce45264df86d50a85",
    ),
    (
        "pip options",
        image().with_pip(
            "x", options=PipOptions(index_url="https://a.test", extra_index_urls=("https://b.test",), pre=True)
        ),
        "b73dc507bd38d40e21906a1a6490fce887a4e3faff6f5c551e43e5641b925459",
    ),
    ("commands", image().with_commands("a", "b"), "07d5560557a6384e84f1bbef4e4c33aa469af7424ef5fb120ad38a23ea87ce8d"),
    (
        "a secret",
        image().with_commands("a", secrets=(SecretMount(name="t", env="T"),)),
        "93ecaf8019ace53418b8c5226390b8c62b6b2af954978673f351ef969e3b9171",
    ),
    (
        "environment",
        image().with_env({"B": "2", "A": "1"}),
        "2f3e1b14412ee294515cd7d5ef4dc138ca97551cb699cb92127b80b3ac99670c",
    ),
    (
        "workdir and user",
        image().with_workdir("/a").with_user("flyte"),
        "f1e845b1e5d678f6603d9914e4c76a2c385f8572236a187312e5cc6b79b4ddf3",
    ),
    (
        "two platforms",
        image(platforms=(ARM64, AMD64)),
        "804cb676b4ec63d4e40c6db4179c0c1e2d5508bd6f6598b01fa1d3ba1505ebdb",
    ),
    ("everything", EVERYTHING, "0c72d13ebc0050ecf9f01022d1d3df8fc837ff497cd6f2766b621c58898b8dff"),
]


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in PINNED], ids=[row[0] for row in PINNED])
def test_the_digests_of_recipe_1_never_change(tmp_path: Path, spec: ImageSpec, expected: str) -> None:
    write(tmp_path, TREE, executable=("src/app/run.sh",))
    assert (RECIPE, digest(spec, tmp_path)) == (1, expected)


def test_the_files_of_recipe_1_never_change() -> None:
    folder = resources.files("flyte_build.builder") / "recipe_files"
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
    assert found == {
        "apt.conf": "5405a760c40b03acab1303113cc99601d2104a81559d1e95b46cdee16fb80c97",
        "apt.sh": "8d2172eddcf95fd616112db4fcf9737fa3f0a687d20e0fc9918084a7520e66e0",
        "env.sh": "a8fb25b8de323fb3fd0055e52c311a10310958058fb20bab409e38f4974e3e2a",
        "venv.sh": "118f2690028764966ad83c10239dee6cecc6f34d171eb4496295d80d1b32225a",
    }
    assert uv_wheel(AMD64).sha256.startswith("e18a57b8")
    assert uv_wheel(ARM64).sha256.startswith("0b3e8b1a")


# The same request, written or lying otherwise.


def test_location_timestamps_and_umask_mean_nothing(tmp_path: Path) -> None:
    one = write(tmp_path / "one", TREE, executable=("src/app/run.sh",))
    before = os.umask(0o077)
    try:
        other = write(tmp_path / "far" / "away", dict(reversed(TREE.items())), executable=("src/app/run.sh",))
        (other / "requirements.txt").chmod(0o600)
        for path in other.rglob("*"):
            os.utime(path, (1, 1), follow_symlinks=False)
    finally:
        os.umask(before)
    assert digest(EVERYTHING, one) == digest(EVERYTHING, other)


@settings(max_examples=25)
@given(st.permutations(sorted(TREE)))
def test_the_order_in_which_files_were_made_means_nothing(
    tmp_path_factory: pytest.TempPathFactory, order: list[str]
) -> None:
    root = write(tmp_path_factory.mktemp("tree"), {name: TREE[name] for name in order}, executable=("src/app/run.sh",))
    try:
        assert digest(EVERYTHING, root) == PINNED[-1][2]
    finally:
        shutil.rmtree(root)


@given(st.dictionaries(st.sampled_from("ABCDE"), st.text("xy", max_size=2)))
def test_the_order_of_variables_means_nothing(variables: dict[str, str]) -> None:
    written = tuple(variables.items())
    assert digest(image().with_layer(Env(variables=written))) == digest(
        image().with_layer(Env(variables=written[::-1]))
    )


SAME: list[tuple[str, ImageSpec, ImageSpec]] = [
    ("packages in another order, or twice", image().with_pip("a", "b"), image().with_pip("b", "a", "b")),
    ("the image's name and registry", image(), image(name="other", registry="ghcr.io/acme")),
    ("platforms in another order, or twice", image(platforms=(AMD64, ARM64)), image(platforms=(ARM64, AMD64, ARM64))),
    ("the default platform, written", image(), image(platforms=(AMD64,))),
    ("the default base, written", image(base=None), image(base="python:3.12-slim-bookworm")),
    ("a base by its full name", image(base="python:3.12"), image(base="docker.io/library/python:3.12")),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_writing_it_otherwise_means_nothing(one: ImageSpec, other: ImageSpec) -> None:
    assert digest(one) == digest(other)


def test_where_the_base_lies_means_nothing_and_what_it_is_everything() -> None:
    content = f"sha256:{'a' * 64}"
    assert digest(image(base=f"ghcr.io/a/b:1@{content}")) == digest(image(base=f"mirror.test/x@{content}"))
    assert digest(image(base=f"ghcr.io/a/b@sha256:{'b' * 64}")) != digest(image(base=f"ghcr.io/a/b@{content}"))


def test_a_folder_without_a_name_is_not_named_after_where_it_lies(tmp_path: Path) -> None:
    roots = [write(tmp_path / name, {"a.py": "1"}) for name in ("clone", "other-clone")]
    assert len({digest(image().with_copy(".", to="/app"), root) for root in roots}) == 1


JUNK = (
    ".git/HEAD",
    "gone/__pycache__/main.cpython-312.pyc",
    "app/__pycache__/main.cpython-312.pyc",
    "app/old.pyc",
    ".venv/bin/python",
    ".DS_Store",
)


@pytest.mark.parametrize("junk", JUNK)
def test_junk_means_nothing(tmp_path: Path, junk: str) -> None:
    root = write(tmp_path, {"src/app/main.py": "1"})
    spec = image().with_copy("src", to="/app", ignore=("!.git", "!*.pyc", "!**/__pycache__/**", "!.venv"))
    before = digest(spec, root)
    assert digest(spec, write(root, {f"src/{junk}": "junk"})) == before


def test_ignored_files_mean_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, {"src/main.py": "1"})
    spec = image().with_copy("src", to="/app", ignore=("*.md", "/notes/", "!keep.md"))
    before = digest(spec, root)
    assert digest(spec, write(root, {"src/deep/a.md": "x", "src/notes/b.txt": "y", "src/a.md": "z"})) == before
    assert digest(spec, write(root, {"src/keep.md": "x"})) != before


# Everything that changes the image.

DIFFERENT: list[tuple[str, ImageSpec, ImageSpec]] = [
    ("apt packages that join to the same text", image().with_apt("aab", "cc"), image().with_apt("aa", "bcc")),
    ("commands that join to the same text", image().with_commands("a", "b"), image().with_commands("ab")),
    ("commands with a line break", image().with_commands("a", "b"), image().with_commands("a\nb")),
    ("variables that join to the same text", image().with_env({"A": "1 B=2"}), image().with_env({"A": "1", "B": "2"})),
    ("apt against commands", image().with_apt("curl"), image().with_commands("curl")),
    ("workdir against commands", image().with_workdir("/a"), image().with_commands("/a")),
    ("pip against apt", image().with_pip("requests"), image().with_apt("requests")),
    ("user against workdir", image().with_layer(User(name="a")), image().with_layer(Workdir(path="a"))),
    (
        "an index against an extra index",
        image().with_pip("x", options=PipOptions(index_url="https://u.test")),
        image().with_pip("x", options=PipOptions(extra_index_urls=("https://u.test",))),
    ),
    (
        "pre-releases against an extra argument",
        image().with_pip("x", options=PipOptions(pre=True)),
        image().with_pip("x", options=PipOptions(extra_args="True")),
    ),
    (
        "a base whose name goes on in a command",
        image(base="python:3.12").with_commands("-slim"),
        image(base="python:3.12-slim").with_commands("x"),
    ),
    ("another base", image(base="a.test/b:1"), image(base="a.test/b:2")),
    ("another platform", image(platforms=(AMD64,)), image(platforms=(ARM64,))),
    ("one platform more", image(platforms=(AMD64,)), image(platforms=(AMD64, ARM64))),
    ("another Python", image(python="3.12"), image(python="3.13")),
    ("no Python", image(python="3.12"), image(python=None)),
    ("layers in another order", image().with_apt("aa").with_pip("b"), image().with_pip("b").with_apt("aa")),
    ("one layer or two", image().with_pip("a", "b"), image().with_pip("a").with_pip("b")),
    ("a variable's value", image().with_env({"A": "1"}), image().with_env({"A": "2"})),
    (
        "a secret's name",
        image().with_commands("x", secrets=(SecretMount(name="a"),)),
        image().with_commands("x", secrets=(SecretMount(name="b"),)),
    ),
    (
        "a secret's variable",
        image().with_commands("x", secrets=(SecretMount(name="a"),)),
        image().with_commands("x", secrets=(SecretMount(name="a", env="A"),)),
    ),
]


@pytest.mark.parametrize(("one", "other"), [row[1:] for row in DIFFERENT], ids=[row[0] for row in DIFFERENT])
def test_what_changes_the_image_changes_its_name(one: ImageSpec, other: ImageSpec) -> None:
    assert digest(one) != digest(other)


def rename(old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return change


def relink(root: Path) -> None:
    (root / "src/app/latest").unlink()
    (root / "src/app/latest").symlink_to("./main.py")


def moved_between_folders(root: Path) -> None:
    """`a/bc.py` -> `ab/c.py`: the parts join to the same text."""
    (root / "src/app").rename(root / "src/ap")
    (root / "src/ap/main.py").rename(root / "src/ap/pmain.py")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file's content": lambda root: (root / "src/app/main.py").write_text("print(2)"),
    "content of the same size": lambda root: (root / "src/app/main.py").write_text("print(3)"),
    "an executable bit": lambda root: (root / "src/app/main.py").chmod(0o755),
    "a lost executable bit": lambda root: (root / "src/app/run.sh").chmod(0o644),
    "a link's target": relink,
    "a renamed file": rename("src/app/main.py", "src/app/mains.py"),
    "a renamed folder": rename("src/app", "src/apps"),
    "a file moved into another folder": rename("src/app/run.sh", "src/lib/run.sh"),
    "names that join to the same text": moved_between_folders,
    "an empty folder gone": lambda root: (root / "src/data").rmdir(),
    "an empty folder more": lambda root: (root / "src/more").mkdir(),
    "an empty file more": lambda root: (root / "src/py.typed").touch(),
    "a requirements file": lambda root: (root / "requirements.txt").write_text("-r more/base.txt\nhttpx==1"),
    "a file that it includes": lambda root: (root / "more/base.txt").write_text("numpy==2"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_in_files_changes_the_name(tmp_path: Path, change: Callable[[Path], object]) -> None:
    root = write(tmp_path, TREE, executable=("src/app/run.sh",))
    before = digest(EVERYTHING, root)
    change(root)
    assert digest(EVERYTHING, root) != before


def test_a_link_is_not_the_file_that_it_names(tmp_path: Path) -> None:
    linked = write(tmp_path / "linked", {"src/a": "x", "src/b": "-> a"})
    copied = write(tmp_path / "copied", {"src/a": "x", "src/b": "x"})
    spec = image().with_copy("src", to="/app")
    assert digest(spec, linked) != digest(spec, copied)


COPIES = [
    Copy(source="src", to="/app"),
    Copy(source="src", to="/app", contents=True),
    Copy(source="src", to="/other"),
    Copy(source="src", to="/app", owner="flyte"),
    Copy(source="src/app", to="/app"),
    Copy(source="requirements.txt", to="/app"),
    Copy(source="requirements.txt", to="/app/"),
]


def test_every_option_of_a_copy_counts(tmp_path: Path) -> None:
    root = write(tmp_path, TREE)
    assert len({digest(image().with_layer(copy), root) for copy in COPIES}) == len(COPIES)


def test_a_plan_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    from flyte_build.builder.canonical import encode

    root = write(tmp_path, TREE)
    assert str(tmp_path).encode() not in encode(planned(EVERYTHING, root))
    absolute = image().with_copy(str(root / "src"), to="/app").with_requirements(str(root / "requirements.txt"))
    assert str(tmp_path).encode() not in encode(planned(absolute, root))
    assert digest(absolute, root) == digest(
        image().with_copy("src", to="/app").with_requirements("requirements.txt"), root
    )


def test_commands_and_apt_differ_even_when_empty() -> None:
    from flyte_build.builder.canonical import encode

    assert encode(Commands(commands=())) != encode(Apt(packages=()))
