"""`--username NAME --password-stdin`: the flags of every command that speaks to a registry."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.registry.servers import PASSWORD, USER, docker_registry, htpasswd

from flyte_build.registry.identity import Credentials, Given
from flyte_build.registry.names import Registry
from flyte_build.worker.cli.bundle import bundle
from flyte_build.worker.cli.bundles import bundles
from flyte_build.worker.cli.doctor import doctor
from flyte_build.worker.cli.image import image
from flyte_build.worker.cli.images import images
from flyte_build.worker.cli.login import Login, login_options

GHCR, QUAY = Registry.parse("ghcr.io"), Registry.parse("quay.io")
FLAGS = ("--username", USER, "--password-stdin")
LOGIN = Login(Credentials(source="--username", username="alice", password="s3cret"))


@click.command()
@login_options
def who(login: Login) -> None:
    click.echo(login.credentials.password if login.credentials else "nobody")


@pytest.mark.parametrize(
    ("said", "password"),
    [
        pytest.param("s3:cret\n", "s3:cret", id="a line"),
        pytest.param("s3 cret", "s3 cret", id="no end of line"),
        pytest.param("s3cret\r\n", "s3cret", id="the end of a line of Windows"),
        pytest.param("ключ\n", "ключ", id="letters of any language"),
    ],
)
def test_the_password_is_what_stdin_brings(said: str, password: str) -> None:
    assert CliRunner().invoke(who, FLAGS, input=said).output == f"{password}\n"


def test_without_the_flags_stdin_is_left_alone() -> None:
    assert CliRunner().invoke(who, [], input="s3cret").output == "nobody\n"


@pytest.mark.parametrize(
    ("flags", "said", "sentence"),
    [
        pytest.param(FLAGS[:2], "s3cret", "go together", id="a name alone"),
        pytest.param(FLAGS[2:], "s3cret", "go together", id="a password alone"),
        pytest.param(FLAGS, "", "stdin brought nothing", id="an empty pipe"),
        pytest.param(FLAGS, "\n", "stdin brought nothing", id="an empty line"),
        pytest.param(FLAGS, "s3cret\nmore\n", "more than one line", id="two lines"),
        pytest.param(FLAGS, "s" * 70_000, "far more than a password", id="a whole file"),
        pytest.param(FLAGS, b"s3cret\xff", "not UTF-8", id="bytes"),
    ],
)
def test_flags_that_cannot_be_meant_are_a_usage_error(flags: tuple[str, ...], said: str | bytes, sentence: str) -> None:
    done = CliRunner().invoke(who, flags, input=said)
    assert (done.exit_code, sentence in done.output, "s3cret" in done.output) == (2, True, False)


@pytest.mark.parametrize(
    ("command", "argv", "sentence"),
    [
        pytest.param(doctor, [], "go with --registry", id="doctor without a registry"),
        pytest.param(bundle, [".", "--endpoint", "http://127.0.0.1:1"], "go with --store", id="bundle to an endpoint"),
        pytest.param(images, ["prune", "ghcr.io/a/b"], "need --yes or --dry-run", id="prune that would ask"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(
    command: click.Command, argv: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, [*argv, *FLAGS], input="s3cret")
    assert (done.exit_code, sentence in done.output) == (2, True)


def test_only_the_registry_that_is_meant_is_told() -> None:
    (place,) = LOGIN.place([GHCR, GHCR])
    assert isinstance(place, Given)
    assert [place.for_registry(GHCR), place.for_registry(QUAY)] == [LOGIN.credentials, None]
    assert "s3cret" not in repr(place)


def test_what_is_given_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HOST", "ghcr.io"), ("USERNAME", "ci"), ("PASSWORD", "x")):
        monkeypatch.setenv(f"FLYTE_BUILD_REGISTRY_{name}", value)
    assert str(LOGIN.source(GHCR).for_registry(GHCR)) == "alice (from --username)"
    assert str(Login().source(GHCR).for_registry(GHCR)) == "ci (from FLYTE_BUILD_REGISTRY_USERNAME)"


def test_one_name_for_two_registries_is_refused() -> None:
    with pytest.raises(click.UsageError, match=r"there are 2: ghcr\.io, quay\.io"):
        LOGIN.place([GHCR, QUAY])


@pytest.mark.real
def test_every_command_about_a_registry_takes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, tree = tmp_path / "served", tmp_path / "tree"
    for folder in (served, tree):
        folder.mkdir()
    (tree / "a.py").write_text("A = 1\n")
    for name in ("HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nobody"))
    with docker_registry(served, auth=htpasswd(served)) as registry:
        place = f"{registry.host}/team"
        (tree / "image.toml").write_text(f'name = "code"\nbase = "{place}/base:none"\n')

        def said(command: click.Command, *argv: str, password: str = PASSWORD) -> tuple[int, str]:
            done = CliRunner().invoke(command, [*argv, *FLAGS], input=password)
            return done.exit_code, done.stdout or f"{done.exception}"

        code, uri = said(bundle, str(tree), "--store", f"oci://{place}/code")
        assert (code, uri.startswith(f"oci://{place}/code@sha256:")) == (0, True)
        assert said(bundles, "fetch", uri.strip(), str(tmp_path / "back"))[0] == 0
        assert (tmp_path / "back" / "a.py").read_text() == "A = 1\n"
        listed = json.loads(said(images, "list", f"{place}/code", "--json")[1])
        assert [one["reference"] for one in listed["images"]] == [uri.strip().removeprefix("oci://")]
        assert said(images, "inspect", uri.strip().removeprefix("oci://"))[0] == 0
        assert said(images, "prune", f"{place}/code", "--dry-run")[0] == 0
        assert "there is no image" in said(image, str(tree / "image.toml"), "--registry", place, "--check")[1]
        found = said(doctor, "--registry", place, "--json")[1]
        assert f"{USER} (from --username): this one is used" in found
        refused = said(images, "list", f"{place}/code", password="guess")[1]
        assert "401" in refused
        assert f"{USER} (from --username)" in refused
        assert "guess" not in refused


def test_a_password_in_the_registrys_name_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "image.toml"
    file.write_text('name = "x"\n')
    done = CliRunner().invoke(image, [str(file), "--registry", "alice:s3cret@ghcr.io/acme"])
    assert (done.exit_code, "s3cret" in done.output) == (2, False)
    assert "--password-stdin" in done.output


def test_doctor_goes_on_after_a_setting_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLYTE_BUILD_CA_BUNDLE", str(tmp_path / "ca.pem"))
    monkeypatch.setenv("FLYTE_BUILD_REGISTRY", "127.0.0.1:1")
    done = CliRunner().invoke(doctor, ["--json"])
    found = {one["part"]: one["found"] for one in json.loads(done.stdout)["findings"]}
    assert "which is no file" in found["machine"]
    assert "127.0.0.1:1" in found["identity"]


@pytest.mark.real
def test_incomplete_credentials_are_a_failure_also_where_anybody_may_push(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with docker_registry(tmp_path) as registry:
        monkeypatch.setenv("FLYTE_BUILD_REGISTRY_HOST", registry.host)
        done = CliRunner().invoke(doctor, ["--registry", registry.host, "--json"])
    sentence = (
        "registry credentials in the environment are incomplete: "
        "FLYTE_BUILD_REGISTRY_USERNAME and FLYTE_BUILD_REGISTRY_PASSWORD not set"
    )
    (said,) = [one for one in json.loads(done.output)["findings"] if one["part"] == "registry"]
    assert (done.exit_code, said["fine"], said["needed"], said["found"]) == (1, False, True, sentence)
    assert said["what_to_do"].endswith("together, or none of them")
