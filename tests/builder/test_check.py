"""Everything that can be wrong with a spec by itself, said with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from tests.builder.doubles import image

from flyte_build.builder import check, check_pip
from flyte_build.builder.spec import (
    Apt,
    Commands,
    Copy,
    Env,
    ImageSpec,
    Layer,
    Pip,
    PipOptions,
    Requirements,
    SecretMount,
    User,
    Workdir,
)
from flyte_build.registry.descriptors import Platform


def indexed(url: str) -> Pip:
    return Pip(packages=("x",), options=PipOptions(index_url=url))


GOOD: dict[str, Layer] = {
    "packages with versions": Apt(packages=("git", "libc6:amd64", "curl=7.88.1-10+deb12u5", "vim/bookworm-backports")),
    "requirements with everything": Pip(
        packages=("a", 'b[c,d]>=1,<2; python_version < "3.13"', "e @ https://f.test/e.whl")
    ),
    "a URL without a name": Pip(packages=("git+https://github.com/a/b@main", "https://a.test/b-1-py3-none-any.whl")),
    "ssh's git user, who is no secret": Pip(packages=("git+ssh://git@github.com/a/b",)),
    "an index": indexed("https://index.test/simple/"),
    "extra arguments": Pip(packages=("x",), options=PipOptions(extra_args="--no-deps --config-settings 'a=b c'")),
    "a command of several lines": Commands(commands=("set -e\ncat <<EOF\n$x\nEOF\n",)),
    "no variables": Env(variables=()),
    "odd paths": Workdir(path=' /a "b" \\c #[*]'),
    "a copy": Copy(source="$HOME/[a]*", to="/app/", owner="flyte:flyte"),
    "a user by number": User(name="1000:1000"),
    "a secret": Commands(commands=("x",), secrets=(SecretMount(name="group.key-1", env="KEY"),)),
}


@pytest.mark.parametrize("layer", GOOD.values(), ids=GOOD.keys())
def test_nothing_is_wrong_with(layer: Layer) -> None:
    assert check.layer(layer) == ()


BAD: list[tuple[str, Layer, str]] = [
    ("no apt package", Apt(packages=()), "names no package"),
    ("an apt package in capitals", Apt(packages=("Git",)), "'Git' is not the name of a Debian package"),
    ("an apt package that is an option", Apt(packages=("--force",)), "'--force' is not the name of a Debian package"),
    ("an apt package with a command", Apt(packages=("git; rm",)), "'git; rm' is not the name of a Debian package"),
    ("no pip package", Pip(packages=()), "names no package"),
    ("half a requirement", Pip(packages=("numpy>=",)), "'numpy>=' is not a PEP 508 requirement ("),
    ("an option as a requirement", Pip(packages=("--pre",)), "'--pre' is not a PEP 508 requirement ("),
    ("two requirements in one", Pip(packages=("numpy httpx",)), "is not a PEP 508 requirement ("),
    (
        "a token in a requirement",
        Pip(packages=("git+https://ghp_s3cret@github.com/a/b",)),
        "'git+https://***@github.com/a/b' carries credentials, which would be readable",
    ),
    (
        "a password in a requirement",
        Pip(packages=("a @ ssh://me:s3cret@h.test/b",)),
        "'a @ ssh://***@h.test/b' carries",
    ),
    ("an index without a scheme", indexed("index.test/simple"), "index_url: 'index.test/simple' is not a URL"),
    ("an index with a blank", indexed("https://a b"), "index_url: 'https://a b' is not a URL"),
    ("an index with a NUL", indexed("https://a\0b"), "is not a URL"),
    (
        "an index with a password",
        indexed("https://me:s3cret@i.test"),
        "index_url: 'https://***@i.test' carries credentials",
    ),
    (
        "an extra index with a token",
        Pip(packages=("x",), options=PipOptions(extra_index_urls=("https://a.test", "https://s3cret@i.test"))),
        "extra_index_urls[1]: 'https://***@i.test' carries credentials",
    ),
    (
        "credentials in extra arguments",
        Requirements(file="r.txt", options=PipOptions(extra_args="--index-url https://me:s3cret@i.test")),
        "extra_args: carries credentials",
    ),
    (
        "an open quote in extra arguments",
        Pip(packages=("x",), options=PipOptions(extra_args="--a 'b")),
        'extra_args: "--a \'b" cannot be split: No closing quotation',
    ),
    ("no command", Commands(commands=()), "has no command"),
    ("an empty command", Commands(commands=("a", " \n")), "[1]: is empty"),
    ("a NUL in a command", Commands(commands=("a\0b",)), "[0]: has a NUL character"),
    ("a command over 120 KiB", Commands(commands=("a", "x" * 122_881)), "[1]: is longer than 120 KiB"),
    ("packages over 120 KiB", Pip(packages=("x" * 70_000, "y" * 70_000)), "put the packages into a requirements file"),
    ("a variable with a dash", Env(variables=(("A-B", "1"),)), "'A-B' is not the name of an environment variable"),
    ("a variable with a carriage return", Env(variables=(("A", "1\rUSER x"),)), "A: has a carriage return or a NUL"),
    ("a variable set twice", Env(variables=(("A", "1"), ("A", "2"))), "A: is set twice"),
    ("variables over 24 KiB", Env(variables=(("A", "x" * 30_000),)), "is longer than 24 KiB"),
    ("an empty workdir", Workdir(path=""), "'' is not a path"),
    ("a workdir with a line break", Workdir(path="/a\nRUN x"), "is not a path"),
    ("a dollar in a workdir", Workdir(path="$HOME/app"), "'$HOME/app' has a $, which means nothing in a path"),
    ("a dollar in a copy's target", Copy(source="a", to="$HOME"), "'$HOME' has a $"),
    ("a copy of nothing", Copy(source="", to="/a"), "'' is not a path"),
    ("a copy of a NUL", Copy(source="a\0b", to="/a"), "is not a path"),
    ("an owner with a flag", Copy(source="a", to="/a", owner="x --from=y"), "owner: 'x --from=y' is not a user name"),
    ("a user with an instruction", User(name="x\nRUN y"), "is not a user name or user:group"),
    (
        "a secret with a comma",
        Commands(commands=("x",), secrets=(SecretMount(name="a,target=/etc/passwd"),)),
        "secrets: 'a,target=/etc/passwd' is not a secret's name",
    ),
    (
        "a secret of ours",
        Apt(packages=("git",), secrets=(SecretMount(name="flyte-build-ca"),)),
        "secrets: 'flyte-build-ca'",
    ),
    (
        "a secret's odd variable",
        Apt(packages=("git",), secrets=(SecretMount(name="a", env="A;b"),)),
        "secrets: 'A;b' is not",
    ),
    (
        "a secret twice",
        Apt(packages=("git",), secrets=(SecretMount(name="a"), SecretMount(name="a", env="A"))),
        "secrets: 'a' is named twice",
    ),
]


@pytest.mark.parametrize(("layer", "said"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_layer_is_refused_for(layer: Layer, said: str) -> None:
    (problem,) = check.layer(layer)
    assert said in str(problem)
    assert "s3cret" not in str(problem)


def odd(kind: Any, **fields: Any) -> Any:
    """A value that no annotation would allow, as a Python program can make it."""
    return kind(**fields)


MISTYPED = [
    ("a number as a variable's value", odd(Env, variables=(("A", 1),)), "variables[0][1]: is 1 (int), not text"),
    ("a list of packages", odd(Pip, packages=["a"]), "packages: is ['a'] (list), not text"),
    ("a path object", odd(Copy, source=__import__("pathlib").PurePosixPath("a")), "source: is PurePosixPath('a')"),
    ("text as a flag", odd(Copy, source="a", contents="yes"), "contents: is 'yes', not True or False"),
    (
        "something inside the options",
        odd(Pip, packages=("a",), options=odd(PipOptions, extra_args=3)),
        "options.extra_args: is 3",
    ),
    ("no layer at all", odd(dict, a=1), "is {'a': 1}, not a layer"),
]


@pytest.mark.parametrize(("layer", "said"), [row[1:] for row in MISTYPED], ids=[row[0] for row in MISTYPED])
def test_what_a_program_put_into_a_layer_is_refused_not_tripped_over(layer: Layer, said: str) -> None:
    (problem,) = check.layer(layer)
    assert said in str(problem)


HEADS: list[tuple[str, dict[str, Any], str]] = [
    ("an empty base", {"base": ""}, "base: is empty; name an image"),
    (
        "layers beside a Dockerfile",
        {"dockerfile": "D", "base": None, "python": None, "layers": (User(name="x"),)},
        "layers: cannot stand beside",
    ),
    ("a name in capitals", {"name": "Train"}, "name: "),
    ("a name with a tag", {"name": "a:b"}, "name: "),
    ("no name", {"name": ""}, "name: "),
    ("a registry with a scheme", {"registry": "https://ghcr.io"}, "registry: "),
    ("a base with a blank", {"base": "python: 3.12"}, "base: "),
    ("a Python patch version", {"python": "3.12.1"}, "python: '3.12.1' is not a Python version; write it like 3.12"),
    ("a Python with a command", {"python": "3.12; x"}, "python: '3.12; x' is not a Python version"),
    ("a Python that is a number", {"python": 3.12}, "python: is 3.12 (float), not text"),
    (
        "a platform that nothing is built for",
        {"platforms": (Platform("linux", "s390x"),)},
        "platforms[0]: images for linux/s390x",
    ),
    ("a platform as text", {"platforms": ("linux/amd64",)}, "platforms[0]: is 'linux/amd64', not a Platform"),
]


@pytest.mark.parametrize(("changes", "said"), [row[1:] for row in HEADS], ids=[row[0] for row in HEADS])
def test_a_spec_is_refused_for(changes: dict[str, Any], said: str) -> None:
    (problem,) = check.head(image(**changes))
    assert str(problem).startswith(said)


def test_nothing_is_wrong_with_a_default_spec() -> None:
    assert list(check.head(ImageSpec(name="acme/train"))) == []


@settings(max_examples=50)
@given(st.from_regex(check_pip._PLAIN, fullmatch=True))
def test_what_is_taken_without_a_look_by_packaging_is_a_requirement(text: str) -> None:
    assert Requirement(text).name
