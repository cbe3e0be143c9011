"""Registries as users have them: what doctor explains, what is attached, what is listed, pruned and created."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file
from tests.registry.images import package_of
from tests.registry.servers import PASSWORD, USER, docker_registry, htpasswd, knowing

from flyte_build.builder.buildx.docker_config import private_config
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import ImageReference, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.transfer import push_package
from flyte_build.worker.cli.images import images, parse_age
from flyte_build.worker.database.engine import Database
from flyte_build.worker.drivers.images import needed_by, references_in

pytestmark = pytest.mark.real

QUICK = RegistryOptions(backoff=0.001)


def test_the_plan_and_the_log_are_attached_without_secrets_and_others_read_them(
    tmp_path: Path, parts: Parts, where: str
) -> None:
    step = 'commands = ["cat /run/secrets/token; echo said so"]\nsecrets = ["token"]'
    file = spec_file(tmp_path, parts, step)
    (tmp_path / "token").write_text("s3cret-value\n")
    done = run(
        "flyte-build", "image", file, "--registry", where, "--secret", f"id=token,src={tmp_path / 'token'}", "--json"
    )
    assert done.code == 0, done.err
    built = json.loads(done.out)["images"][0]
    found = json.loads(run("oras", "discover", "--plain-http", "--format", "json", built["pinned"]).out)
    kinds = {entry["artifactType"]: entry["digest"] for entry in found["manifests"]}
    ours = {f"application/vnd.flyte-build.{kind}" for kind in ("plan.v1+json", "log.v1", "installed.v1+json")}
    assert set(kinds) == ours | {"application/vnd.cyclonedx+json", "application/vnd.in-toto+json"}
    for digest in kinds.values():
        name = f"{where}/trial@{digest}"
        assert run("oras", "pull", "--plain-http", "-o", str(tmp_path / "out"), name).code == 0
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    log = (tmp_path / "out" / "build.log").read_text()
    (listed,) = json.loads((tmp_path / "out" / "installed.json").read_text())["platforms"]
    assert any(one["purl"].startswith("pkg:deb/debian/libc6@2") for one in listed["packages"])
    assert plan["recipe"]
    assert "said so" in log
    assert "s3cret-value" not in log + json.dumps(plan)


def test_an_image_that_nothing_can_be_attached_to_is_built_all_the_same(
    tmp_path: Path, parts: Parts, where: str
) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    done = run("flyte-build", "image", file, "--registry", where, "--no-attach")
    assert done.code == 0, done.err
    tags = run("crane", "ls", f"{where}/trial").out.split()
    assert [len(tag) for tag in tags] == [40]


def test_a_tag_that_moves_is_told(tmp_path: Path, parts: Parts, where: str) -> None:
    for number in (1, 2):
        file = spec_file(tmp_path, parts, f'env = {{ A = "{number}" }}')
        done = run("flyte-build", "image", file, "--registry", where, "--tag", "latest", "--no-attach")
        assert done.code == 0, done.err
        assert ("note: the tag" in done.err) is (number == 2)
    first = spec_file(tmp_path, parts, 'env = { A = "1" }')
    again = run("flyte-build", "image", first, "--registry", where, "--tag", "latest")
    assert "exists already" in again.err
    assert f"note: the tag {where}/trial:latest named sha256:" in again.err
    digest = ImageReference.parse(again.out.strip()).digest
    assert run("crane", "digest", f"{where}/trial:latest").out.strip() == str(digest)


def test_images_are_listed_inspected_and_kept(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    built = json.loads(run("flyte-build", "image", file, "--registry", where, "--tag", "mine", "--json").out)["images"][
        0
    ]
    listed = json.loads(run("flyte-build", "images", "list", f"{where}/trial", "--json").out)["images"]
    assert [(one["reference"], one["spec_digest"]) for one in listed] == [(built["pinned"], built["spec_digest"])]
    assert "mine" in listed[0]["tags"]
    lines = run("flyte-build", "images", "list", f"{where}/trial").out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(built["pinned"])
    one = json.loads(run("flyte-build", "images", "inspect", f"{where}/trial:mine", "--json").out)["image"]
    assert len(one["attached"]) == 5
    kept = run("flyte-build", "images", "prune", f"{where}/trial", "--yes", "--json")
    assert json.loads(kept.out)["removed"] == []
    assert [entry["why"] for entry in json.loads(kept.out)["kept"]] == ["tagged mine"]
    missing = run("flyte-build", "images", "inspect", f"{where}/nowhere:v1")
    assert missing.code == 1
    assert "there is no image" in missing.err


def test_what_is_installed_is_said_and_changes_no_digest(tmp_path: Path, parts: Parts, where: str) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text(where)
    file = spec_file(tmp_path, parts, 'pip = ["six==1.16.0"]', 'copy = "src"\nto = "/app"')
    env = {"FLYTE_BUILD_CACHE": str(tmp_path / "cache")}
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "uv").symlink_to(cache_folder() / "uv")
    without = run("flyte-build", "image", file, "--registry", f"{where}/a", "--no-attach", env=env)
    built = run("flyte-build", "image", file, "--registry", f"{where}/b", "--progress", "plain", env=env)
    assert built.code == 0, built.err
    assert "listing what is installed" in built.err
    assert built.out.rpartition("@")[2] == without.out.rpartition("@")[2]
    said = run("flyte-build", "images", "inspect", built.out.strip())
    assert "  installed  linux/amd64 (debian-" in said.out
    assert "    pypi   six 1.16.0  /opt/venv\n" in said.out
    assert " libc6 " not in said.out
    assert "    deb    libc6 2." in run("flyte-build", "images", "inspect", built.out.strip(), "--packages").out
    document = json.loads(run("flyte-build", "images", "inspect", built.out.strip(), "--json").out)["image"]
    assert "pkg:pypi/six@1.16.0" in [package["purl"] for package in document["installed"][0]["packages"]]

    (tmp_path / "src" / "a.py").write_text("# another file, the same packages")
    again = run("flyte-build", "image", file, "--registry", f"{where}/b", "--progress", "plain", env=env)
    assert "listing what is installed" not in again.err
    assert "six 1.16.0" in run("flyte-build", "images", "inspect", again.out.strip()).out


def old_image(where: str) -> ImageReference:
    labels = {"build.flyte.spec-digest": f"sha256:{'ab' * 32}"}
    package = package_of(b"x", Labels=labels, created="2020-01-01T00:00:00Z")
    target = Target(Repository.parse(f"{where}/old"), ("ab" * 20,))
    return push_package(RegistryClient(None, QUICK, {}), package, target).reference


def test_prune_says_first_and_removes_then(where: str) -> None:
    reference = old_image(where)
    name = str(reference.repository)
    for _ in range(2):
        dry = run("flyte-build", "images", "prune", name, "--older-than", "30d", "--dry-run")
        assert (dry.code, dry.out.strip()) == (0, str(reference))
        assert "1 would go, 0 stay" in dry.err
    asked = run("flyte-build", "images", "prune", name)
    assert asked.code != 0
    assert run("crane", "digest", str(reference)).code == 0
    kept = run("flyte-build", "images", "prune", name, "--yes", "--keep-digest", str(reference.digest))
    assert kept.out == ""
    done = run("flyte-build", "images", "prune", name, "--yes")
    assert (done.code, done.out.strip()) == (0, str(reference)), done.err
    assert run("crane", "digest", str(reference)).code != 0


@pytest.mark.parametrize("age", ["1h", "23h", "0d", "soon", "3 days", ""])
def test_no_age_below_a_day_is_taken(where: str, age: str) -> None:
    done = run("flyte-build", "images", "prune", f"{where}/x", "--older-than", age, "--yes")
    assert done.code == 2, done.err


def test_ages() -> None:
    assert [parse_age(text).days for text in ("24h", "30d", "8w")] == [1, 30, 56]


def test_what_a_database_needs_stays(tmp_path: Path, where: str) -> None:
    reference = old_image(where)
    url = f"sqlite:///{tmp_path / 'state.db'}"
    database = Database(url)
    database.create()
    database.close()
    name = str(reference.repository)
    assert needed_by(url, reference.repository).digests == frozenset()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute(
            "INSERT INTO tasks (project, domain, name, version, spec, created_at) VALUES ('p','d','n','v',?,0)",
            (b"\x0a\x7f" + str(reference).encode() + b"\x12",),
        )
    connection.close()
    kept = run("flyte-build", "images", "prune", name, "--yes", "--database", url, "--json")
    assert [entry["why"] for entry in json.loads(kept.out)["kept"]] == ["still needed"], kept.err
    broken = run("flyte-build", "images", "prune", name, "--yes", "--database", f"sqlite:///{tmp_path}/no/where.db")
    assert broken.code == 1
    mistyped = run("flyte-build", "images", "prune", name, "--dry-run", "--database", f"sqlite:///{tmp_path}/stat.db")
    assert f"there is no database {tmp_path}/stat.db" in mistyped.err
    assert not (tmp_path / "stat.db").exists()
    assert run("crane", "digest", str(reference)).code == 0


@pytest.mark.parametrize("command", ["list", "prune"])
def test_a_repository_that_is_not_there_is_not_an_empty_one(where: str, command: str) -> None:
    done = run("flyte-build", "images", command, f"{where}/trian")
    assert done.code == 1
    assert f"there is no repository {where}/trian" in done.err


def test_references_are_found_wherever_they_stand_in_a_message() -> None:
    repository = Repository.parse("ghcr.io/acme/x")
    text = b"\x0aa" + f"{repository}:{'ab' * 20}".encode() + b"2\x00" + f"{repository}@sha256:{'c' * 64}z".encode()
    needed = references_in([text, b"\xff\xfe"], repository)
    assert needed.tags == {"ab" * 20}
    assert {str(one) for one in needed.digests} == {f"sha256:{'c' * 64}"}


def test_doctor_explains_where_it_looked_and_never_shows_a_secret(tmp_path: Path) -> None:
    with docker_registry(tmp_path, auth=htpasswd(tmp_path)) as registry:
        environ = knowing(tmp_path, registry)
        good = run("flyte-build", "doctor", "--registry", registry.host, env=environ)
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"credsStore": "nothere"}))
        bad = run("flyte-build", "doctor", "--registry", registry.host, "--json", env=environ)
        knowing(tmp_path, registry, password="guess")
        wrong = run("flyte-build", "doctor", "--registry", registry.host, env=environ)
        helper = tmp_path / "bin" / "docker-credential-broken"
        helper.parent.mkdir()
        helper.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho bare-s3cret\n")
        helper.chmod(0o755)
        (tmp_path / ".docker" / "config.json").write_text(json.dumps({"credsStore": "broken"}))
        path = {"PATH": f"{helper.parent}:{os.environ['PATH']}"}
        broken = run("flyte-build", "doctor", "--registry", f"{registry.host}/acme/x", env=environ | path)
    assert f"{USER} (from ~/.docker/config.json): this one is used" in good.err + good.out
    assert "✓ registry" in good.out
    findings = [one for one in json.loads(bad.out)["findings"] if one["part"] in ("identity", "registry")]
    assert any("docker-credential-nothere, which is not on PATH" in one["found"] for one in findings)
    assert not findings[-1]["fine"]
    assert PASSWORD not in good.out + good.err + bad.out + bad.err
    assert "it does not accept this password or token" in wrong.out
    # The name was doctor's own, and that may be why.
    assert f"--registry {registry.host}/TEAM/NAME" in wrong.out
    assert "its answer is not the JSON that helpers give" in broken.out
    assert f"{registry.host} is spoken to as anonymous, and not pushed to" in broken.out
    assert "TEAM/NAME" not in broken.out
    assert "s3cret" not in broken.out + broken.err
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_a_repository_of_ecr_is_created_before_the_build(
    tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flyte_build.worker.cli.image import image

    registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("HOME", str(tmp_path))
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    argv = [str(file), "--registry", f"{registry}/team", "--create-repository", "--repository-tag", "team=ml"]
    with mock_aws():
        # No registry answers under that name here: what is made before it is asked is what is looked at.
        done = CliRunner().invoke(image, [*argv, "--repository-untagged-days", "7"])
        ecr = boto3.client("ecr", region_name="eu-west-1")
        made = [one["repositoryName"] for one in ecr.describe_repositories()["repositories"]]
    assert done.exit_code == 1
    assert f"cannot reach https://{registry}" in str(done.exception)
    assert made == ["team/trial"]


def test_the_flags_of_a_new_repository_go_together(tmp_path: Path, parts: Parts, where: str) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    done = run("flyte-build", "image", file, "--registry", where, "--repository-tag", "a=b")
    assert done.code == 2
    assert "--create-repository" in done.err
    other = run("flyte-build", "image", file, "--registry", where, "--create-repository")
    assert other.code == 1
    assert "is not ECR" in other.err


class Once:
    """Gives the password when it is asked again."""

    def for_registry(self, registry: Registry) -> Credentials:
        return Credentials(source="x", username=USER, password=PASSWORD, expires_at=time.time() + 3600)


def test_a_build_outlives_the_credentials_that_it_began_with(tmp_path: Path, parts: Parts) -> None:
    served = tmp_path / "served"
    served.mkdir()
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    with docker_registry(served, auth=htpasswd(served)) as registry:
        begun = Credentials(source="x", username=USER, password="over by now", expires_at=time.time() + 1)
        with private_config({registry: begun}, Once(), period=0.01) as environment:
            time.sleep(0.3)
            command = ["docker", "buildx", "build", "--push", "-t", f"{registry}/acme/x:v1", str(context)]
            options = ["--provenance=false", "--progress=plain"]
            done = subprocess.run(
                [*command, *options], check=False, capture_output=True, text=True, timeout=120, env=environment
            )
        assert done.returncode == 0, done.stderr
        assert RegistryClient(Once(), QUICK, {}).find(Target(Repository(registry, "acme/x"), ("v1",)).names()[0])
    assert "over by now" not in done.stdout + done.stderr


def test_help_is_there() -> None:
    assert images.name == "images"
    done = run("flyte-build", "images", "prune", "--help", env={"COLUMNS": "200", **os.environ})
    assert "--dry-run" in done.out
