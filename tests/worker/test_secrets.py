"""Where the values of build secrets come from, who is asked first, and what is said when nobody has them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.builder.doubles import planned, write

from flyte_build.builder.spec import ImageSpec, SecretMount
from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.worker.secrets.gather import SecretSources, secret_files, wanted
from flyte_build.worker.secrets.provider import FromFolders

VAULT = """
class Vault:
    def get(self, name):
        if name == "odd": return "text"
        if name == "broken": raise RuntimeError("s3cret")
        return b"of the vault" if name == "key" else None
class Absent:
    def __init__(self): raise RuntimeError("no address")
"""
POINTS = "[flyte_build.secret_providers]\nvault = vault_of_tests:Vault\nabsent = vault_of_tests:Absent\n"


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with providers."""
    files = {"vault_of_tests.py": VAULT, "vault_of_tests-1.dist-info/entry_points.txt": POINTS}
    write(tmp_path / "site", {**files, "vault_of_tests-1.dist-info/METADATA": "Name: vault_of_tests\nVersion: 1\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def values(sources: SecretSources, *names: str) -> dict[str, bytes]:
    with secret_files(frozenset(names), sources) as files:
        return {name: file.read_bytes() for name, file in files.items()}


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        pytest.param({"files": {"key": Path("here")}}, {"KEY": "x"}, b"of a file", id="a file that was named"),
        pytest.param({"variables": {"key": "MINE"}}, {"KEY": "x", "MINE": "y"}, b"y", id="a variable that was named"),
        pytest.param({}, {"KEY": "x"}, b"x", id="the variable that the SDK would read"),
        pytest.param({}, {}, b"of the vault", id="a provider"),
        pytest.param({}, {"KEY": ""}, b"of the vault", id="a provider when the variable is empty"),
    ],
)
def test_the_first_place_that_has_a_secret_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, object], environ: dict[str, str], expected: bytes
) -> None:
    monkeypatch.chdir(write(tmp_path, {"here": "of a file"}))
    sources = SecretSources(chosen=("vault",), environ=environ, **given)  # type: ignore[arg-type]
    assert values(sources, "key") == {"key": expected}


def test_a_group_and_a_dash_are_lines_in_the_sdks_variables(tmp_path: Path) -> None:
    assert values(SecretSources(environ={"TEAM_MY_KEY": "v"}), "team.my-key") == {"team.my-key": b"v"}


def test_files_are_found_where_the_sdk_and_kubernetes_put_them(tmp_path: Path) -> None:
    write(tmp_path, {"one/team_key": "1", "two/other": "2"})
    places = FromFolders((tmp_path / "one", tmp_path / "two"))
    assert [places.get(name) for name in ("team.key", "other", "absent")] == [b"1", b"2", None]


@pytest.mark.usefixtures("vault")
def test_nothing_that_is_merely_installed_is_asked() -> None:
    with pytest.raises(InvalidInput, match="'key' is needed"):
        values(SecretSources(environ={}), "key")


def test_every_secret_that_nobody_has_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        values(SecretSources(environ={"B": "1"}), "a", "b", "c")
    assert caught.value.sentence == "the secrets 'a', 'c' are needed and not given"
    assert "--secret id=a,env=NAME" in caught.value.hint


def test_a_secret_that_was_given_under_another_name_is_said_beside_the_missing_one() -> None:
    with pytest.raises(InvalidInput) as caught:
        values(SecretSources(variables={"tokn": "A"}, environ={"A": "1"}), "token")
    assert caught.value.hint.endswith("(no step asks for 'tokn', which was given)")


def test_values_are_in_no_folder_that_a_killed_build_would_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))
    with secret_files(frozenset({"a"}), SecretSources(environ={"A": "canary"})) as files:
        assert files["a"].read_bytes() == b"canary"
        assert str(os.getpid()) in files["a"].parts, "Docker's client, another process, opens it by this name"
        assert stat.S_IMODE(files["a"].stat().st_mode) == 0o600
        assert [file for file in tmp_path.rglob("*") if file.is_file() and b"canary" in file.read_bytes()] == []


def test_where_there_are_no_files_in_memory_they_are_this_users_alone_and_gone_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with secret_files(frozenset({"a"}), SecretSources(environ={"A": "1"})) as files:
        place = files["a"]
        assert place.read_bytes() == b"1"
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert not place.parent.exists()


@pytest.mark.usefixtures("vault")
@pytest.mark.parametrize(
    ("sources", "name", "said"),
    [
        (SecretSources(files={"a": Path("absent")}), "a", "the file of the secret 'a' does not exist: absent"),
        (SecretSources(files={"a": Path("/")}), "a", "cannot be read: Is a directory"),
        (SecretSources(variables={"a": "NOPE"}, environ={}), "a", "the variable NOPE of the secret 'a' is not set"),
        (SecretSources(chosen=("nosuch",), environ={}), "a", "there is no secret provider 'nosuch'"),
        (SecretSources(chosen=("absent",), environ={}), "a", "'absent' cannot be loaded: RuntimeError: no address"),
        (SecretSources(chosen=("vault",), environ={}), "odd", "Vault gave no bytes for 'odd'"),
        (SecretSources(chosen=("vault",), environ={}), "broken", "Vault failed for 'broken'"),
        (SecretSources(chosen=("command:a/b",), environ={}), "a", "'command:a/b' is no secret provider"),
        (SecretSources(chosen=("command:absent",), environ={"PATH": "/nowhere"}), "a", "is not on PATH"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_one_sentence_without_the_value_for(sources: SecretSources, name: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        values(sources, name)
    assert said in caught.value.sentence
    assert "s3cret" not in caught.value.sentence


@pytest.mark.real
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param('read name; echo "{\\"Secret\\": \\"value of $name\\"}"', b"value of team.key", id="that has it"),
        pytest.param("echo '{}'", "are needed|is needed", id="that has none"),
        pytest.param("echo s3cret; exit 1", "exit code 1", id="that fails"),
        pytest.param("echo s3cret", "flyte-build-secret-pass failed for 'team.key'", id="that answers no JSON"),
        pytest.param("echo '[\"s3cret\"]'", "failed for", id="that answers a list"),
        pytest.param("echo '{\"Secret\": 3}'", "failed for", id="that answers a number"),
    ],
)
def test_a_program(tmp_path: Path, script: str, expected: bytes | str) -> None:
    program = write(tmp_path, {"flyte-build-secret-pass": f"#!/bin/sh\n{script}\n"}) / "flyte-build-secret-pass"
    program.chmod(0o755)
    sources = SecretSources(chosen=("command:pass",), environ={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    if isinstance(expected, bytes):
        assert values(sources, "team.key") == {"team.key": expected}
        return
    with pytest.raises(FlyteBuildError, match=expected) as caught:
        values(sources, "team.key")
    assert "s3cret" not in f"{caught.value}{caught.value.hint}"


def test_the_secrets_of_a_plan_are_those_of_its_layers(tmp_path: Path) -> None:
    def mount(name: str) -> tuple[SecretMount, ...]:
        return (SecretMount(name=name),)

    spec = ImageSpec(name="a", base="b").with_commands("x", secrets=mount("one")).with_pip("six")
    assert wanted(planned(spec.with_commands("y", secrets=mount("two")), tmp_path)) == {"one", "two"}
