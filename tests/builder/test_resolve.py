"""Resolving: every problem at once, with its place, and nothing looked up for a spec that is wrong."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.builder.doubles import AMD64, ARM64, FoundBase, KnownBases, image, resolved, write

from flyte_build.builder.plan import CopyFiles, PipInstall, plan
from flyte_build.builder.resolve import resolve
from flyte_build.builder.spec import Copy, Env, ImageSpec
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidSpec, RegistryMissing
from flyte_build.registry.names import ImageName


class NoBases(KnownBases):
    """Nobody may be asked."""

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        raise AssertionError("a spec with problems needs no registry")


def problems(spec: ImageSpec, root: Path) -> list[str]:
    """What `resolve` says is wrong, in order."""
    with pytest.raises(InvalidSpec) as caught:
        resolve(spec, root, NoBases())
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_wrong_is_said_at_once_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {"folder/x": "", "bad.txt": "-r gone.txt"})
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    spec = (
        image(name="Train", python="three")
        .with_apt("git", "No!")
        .with_requirements("gone.txt")
        .with_requirements("folder")
        .with_requirements("bad.txt")
        .with_requirements("latin.txt")
        .with_copy("gone")
        .with_copy("folder", ignore=("!",))
        .with_env({"A": "\r"})
    )
    assert [problem.partition(" (")[0] for problem in problems(spec, tmp_path)] == [
        "name: 'Train' is not a repository name",
        "python: 'three' is not a Python version; write it like 3.12",
        "layers[0].apt: 'No!' is not the name of a Debian package; write it like git or git=1:2.39",
        "layers[1].requirements: the requirements file 'gone.txt' does not exist",
        "layers[2].requirements: the requirements file 'folder' is a folder",
        "layers[3].requirements: the requirements file 'gone.txt', included by 'bad.txt' does not exist",
        "layers[4].requirements: the requirements file 'latin.txt' is not UTF-8 text",
        "layers[5].copy: 'gone' does not exist",
        "layers[6].copy: '!' is not a gitignore pattern",
        "layers[7].env.A: has a carriage return or a NUL, which no build can give to a variable; take it out",
    ]


def test_a_base_that_is_not_there_is_said_with_the_images_name() -> None:
    with pytest.raises(RegistryMissing) as caught:
        resolved(image(name="train", base="ghcr.io/acme/missing:1"))
    assert caught.value.sentence == (
        "the base image ghcr.io/acme/missing:1 of 'train' cannot be used: there is no image ghcr.io/acme/missing:1"
    )
    assert caught.value.hint == "check the name and the tag"


def test_a_pattern_where_a_path_is_meant_is_said(tmp_path: Path) -> None:
    (found,) = problems(image().with_copy("src/*.py"), tmp_path)
    assert found.startswith("layers[0].copy: 'src/*.py' does not exist (`copy` takes one file or folder and no pattern")


def socket_file(root: Path) -> None:
    """Bound by a relative name: a socket's path may have 100 characters only."""
    here = Path.cwd()
    os.chdir(root)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("src/socket")
    finally:
        os.chdir(here)


def link_out(target: str) -> object:
    return lambda root: (root / "src/link").symlink_to(target)


ODD_FILES = {
    "a pipe": (lambda root: os.mkfifo(root / "src/pipe"), "is neither a file, a folder nor a link"),
    "a socket": (socket_file, "is neither a file, a folder nor a link"),
    "a link to an absolute path": (link_out("/etc/passwd"), "links to /etc/passwd, outside of"),
    "a link out of the folder": (link_out("../secret"), "links to ../secret, outside of"),
    "a link that comes back in by name": (link_out("../src/a"), ""),
    "a link to nothing": (link_out("gone"), ""),
    "a link to itself": (link_out("link"), ""),
    "a name that is not Unicode": (
        lambda root: Path(os.fsdecode(os.fsencode(root / "src") + b"/caf\xe9")).touch(),
        "is not valid UTF-8 near",
    ),
}


@pytest.mark.parametrize(("make", "said"), ODD_FILES.values(), ids=ODD_FILES.keys())
def test_a_folder_may_hold_files_folders_and_links_within_it(tmp_path: Path, make: object, said: str) -> None:
    write(tmp_path, {"src/a": ""})
    assert callable(make)
    make(tmp_path)
    spec = image().with_copy("src", to="/app", contents=True)
    if said:
        (problem,) = problems(spec, tmp_path)
        assert problem.startswith("layers[0].copy: ")
        assert said in problem
    else:
        (layer,) = resolved(spec, tmp_path).layers
        assert isinstance(layer, CopyFiles)
        assert [file.path for file in layer.tree.files] == ["a", "link"]


def test_a_copy_of_a_device_says_what_it_is(tmp_path: Path) -> None:
    (problem,) = problems(image().with_copy(os.devnull), tmp_path)
    assert f"'{os.devnull}' is neither a file nor a folder" in problem


def test_a_path_that_no_file_system_takes_is_one_sentence(tmp_path: Path) -> None:
    found = problems(image().with_copy("x" * 5000).with_requirements("y" * 5000), tmp_path)
    assert [problem.partition(":")[0] for problem in found] == ["layers[0].copy", "layers[1].requirements"]
    assert all("File name too long" in problem for problem in found)


@pytest.mark.parametrize("name", [" blank", "blank ", "a*b", "a?b", "a[b", "a\\b"])
def test_a_file_with_a_pattern_for_a_name_goes_into_folders_only(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "x"})
    (problem,) = problems(image().with_copy(name, to="/app/new"), tmp_path)
    assert problem.endswith("(end `to` with a slash)")
    for to in ("/app/", "."):
        assert resolved(image().with_copy(name, to=to), tmp_path).layers


NAMES = [
    ("a folder goes by its name", Copy(source="src"), ["src/a", "src/deep/b"]),
    ("a folder below another too", Copy(source="./src/deep/"), ["deep/b"]),
    ("a way around does not count", Copy(source="src/../src/deep"), ["deep/b"]),
    ("contents have no name", Copy(source="src", contents=True), ["a", "deep/b"]),
    ("nor has the spec's own folder", Copy(source=".", ignore=("/linked", "/link.txt")), ["src/a", "src/deep/b"]),
    ("a link to a folder keeps its own name", Copy(source="linked"), ["linked/b"]),
    ("a link to a file keeps its own name", Copy(source="link.txt", to="/x/"), ["link.txt"]),
]


@pytest.mark.parametrize(("copy", "expected"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_what_a_copy_calls_its_files(tmp_path: Path, copy: Copy, expected: list[str]) -> None:
    write(tmp_path, {"src/a": "1", "src/deep/b": "2", "linked": "-> src/deep", "link.txt": "-> src/a"})
    (layer,) = resolved(image().with_layer(copy), tmp_path).layers
    assert isinstance(layer, CopyFiles)
    assert [file.path for file in layer.tree.files] == expected


def test_every_file_of_the_plan_is_in_the_context(tmp_path: Path) -> None:
    write(tmp_path, {"src/a": "1", "src/same": "1", "r.txt": "-c c.txt", "c.txt": "x<2"})
    found = resolved(image().with_copy("src").with_requirements("r.txt"), tmp_path)
    wanted = {file.sha256 for tree in plan(found).trees() for file in tree.files}
    assert wanted == set(found.context.files)


def test_variables_and_platforms_are_sorted() -> None:
    found = resolved(image(platforms=(ARM64, AMD64, ARM64)).with_layer(Env(variables=(("B", "1"), ("A", "2")))))
    assert found.platforms == (AMD64, ARM64)
    assert found.layers == (Env(variables=(("A", "2"), ("B", "1"))),)


def test_pip_packages_and_requirements_are_one_kind_of_layer(tmp_path: Path) -> None:
    write(tmp_path, {"a/r.txt": "-r ../b/base.txt\n-r more.txt", "a/more.txt": "", "b/base.txt": "-r ../a/r.txt"})
    pip, requirements = resolved(image().with_pip("x").with_requirements("a/r.txt"), tmp_path).layers
    assert isinstance(pip, PipInstall)
    assert isinstance(requirements, PipInstall)
    assert (pip.packages, pip.requirements) == (("x",), ())
    assert requirements.requirements == ("a/r.txt",)
    assert [file.path for file in requirements.tree.files] == ["a/more.txt", "a/r.txt", "b/base.txt"]
