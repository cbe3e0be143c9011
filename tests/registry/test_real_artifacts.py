"""Artifacts, bundles and housekeeping in a real registry, judged by other people's clients."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.registry.images import index_package, package_of
from tests.registry.servers import docker_registry, htpasswd, knowing, tool

from flyte_build.registry.artifacts import PLAN_TYPE, Artifact, ArtifactFile, attach, fetch_artifact
from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_MANIFEST
from flyte_build.registry.encode import EMPTY, EMPTY_TYPE, encode_manifest
from flyte_build.registry.errors import InvalidInput, RegistryDenied, RegistryMissing, RegistryProtocol
from flyte_build.registry.inventory import CREATED, inspect_image, list_images
from flyte_build.registry.names import Digest, ImageName, ImageReference, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.prune import Rule, choose, remove
from flyte_build.registry.referrers import Referrers
from flyte_build.registry.transfer import push_package
from flyte_build.registry.uploads import Uploads

pytestmark = pytest.mark.real

QUICK = RegistryOptions(backoff=0.001)
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("artifacts")) as registry:
        yield registry


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(None, QUICK, {})


@pytest.fixture
def repository(registry: Registry, fresh_name: str) -> Repository:
    return Repository(registry, f"acme/{fresh_name}")


def plan(tmp_path: Path, text: str = "{}", **annotations: str) -> Artifact:
    path = tmp_path / "source"
    path.write_text(text)
    file = ArtifactFile(path=path, title="plan.json", media_type=PLAN_TYPE)
    return Artifact(artifact_type=PLAN_TYPE, files=(file,), annotations=annotations)


def test_what_is_attached_others_pull(repository: Repository, client: RegistryClient, tmp_path: Path) -> None:
    image = push_package(client, package_of(b"x"), Target(repository, ("v1",))).reference
    first = attach(client, image, plan(tmp_path, '{"kind":"plan"}'))
    assert attach(client, image, plan(tmp_path, '{"kind":"plan"}')) == first
    found = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", f"{repository}:v1"))
    assert [(one["digest"], one["artifactType"]) for one in found["manifests"]] == [(str(first.digest), PLAN_TYPE)]
    tool("oras", "pull", "--plain-http", "-o", str(tmp_path / "theirs"), str(first))
    assert (tmp_path / "theirs" / "plan.json").read_text() == '{"kind":"plan"}'
    name = ImageName(repository, digest=first.digest)
    (ours,) = fetch_artifact(client, name, tmp_path / "ours", PLAN_TYPE)
    assert (ours.name, ours.read_text()) == ("plan.json", '{"kind":"plan"}')
    assert json.loads(tool("crane", "manifest", str(first)))["subject"]["digest"] == str(image.digest)


def test_what_others_attached_we_take_out(repository: Repository, client: RegistryClient, tmp_path: Path) -> None:
    image = push_package(client, package_of(b"x"), Target(repository, ("v1",))).reference
    (tmp_path / "sbom.json").write_text("[]")
    argv = ["oras", "attach", "--plain-http", "--disable-path-validation", "--artifact-type", "application/spdx+json"]
    subprocess.run([*argv, f"{repository}:v1", "sbom.json"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (listed,) = Referrers(client.api, client.manifests).list(image)
    name = ImageName(repository, digest=listed.digest)
    (path,) = fetch_artifact(client, name, tmp_path / "out", "application/spdx+json")
    assert path.read_text() == "[]"


def test_nothing_is_attached_to_what_is_not_there(
    repository: Repository, client: RegistryClient, tmp_path: Path
) -> None:
    nowhere = ImageReference(repository, Digest("sha256", "0" * 64))
    with pytest.raises(RegistryMissing):
        attach(client, nowhere, plan(tmp_path))


@pytest.mark.parametrize("title", ["a/b", "../x", "a:b", "", "."])
def test_a_title_that_is_no_name_of_a_file_is_refused(
    repository: Repository, client: RegistryClient, tmp_path: Path, title: str
) -> None:
    image = push_package(client, package_of(b"x"), Target(repository, ("v1",))).reference
    (tmp_path / "x").write_text("x")
    file = ArtifactFile(path=tmp_path / "x", title=title, media_type="text/plain")
    with pytest.raises(InvalidInput, match="cannot be the name of a file"):
        attach(client, image, Artifact(artifact_type="application/vnd.t", files=(file,)))


@pytest.mark.parametrize(
    ("titles", "media_type"),
    [
        pytest.param(["../../evil"], "text/plain", id="out of the folder"),
        pytest.param(["/tmp/evil"], "text/plain", id="an absolute path"),
        pytest.param(["a/b"], "text/plain", id="a folder"),
        pytest.param([""], "text/plain", id="no name"),
        pytest.param([".."], "text/plain", id="the folder above"),
        pytest.param(["a", "a"], "text/plain", id="the same name twice"),
        pytest.param(["a"], "application/vnd.oci.image.layer.v1.tar+gzip", id="an archive that oras would unpack"),
    ],
)
def test_a_hostile_artifact_writes_nothing(
    repository: Repository, client: RegistryClient, tmp_path: Path, titles: list[str], media_type: str
) -> None:
    blobs = [Blob.of_bytes(EMPTY, EMPTY_TYPE), Blob.of_bytes(b"evil", media_type)]
    for blob in blobs:
        Uploads(client.api, client.blobs).push(repository, blob)
    body = json.loads(encode_manifest(blobs[0].descriptor, [blobs[1].descriptor] * len(titles), artifact_type="t/t"))
    for layer, title in zip(body["layers"], titles, strict=True):
        layer["annotations"] = {"org.opencontainers.image.title": title}
    client.manifests.put(repository, json.dumps(body).encode(), OCI_MANIFEST, "v1")
    with pytest.raises(RegistryProtocol, match="is not a plain list of files"):
        fetch_artifact(client, ImageName(repository, "v1"), tmp_path / "out", "t/t")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RegistryProtocol, match="is t/t, not x/y"):
        fetch_artifact(client, ImageName(repository, "v1"), tmp_path / "out", "x/y")


def test_artifacts_go_where_passwords_are_wanted_with_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with docker_registry(tmp_path, auth=htpasswd(tmp_path)) as registry:
        client = RegistryClient(None, QUICK, knowing(tmp_path, registry))
        repository = Repository(registry, "acme/x")
        image = push_package(client, package_of(b"x"), Target(repository, ("v1",))).reference
        with caplog.at_level(logging.DEBUG):
            attach(client, image, plan(tmp_path))
        nobody = RegistryClient(None, QUICK, {"HOME": str(tmp_path / "none")})
        with pytest.raises(RegistryDenied):
            attach(nobody, image, plan(tmp_path))
    assert capsys.readouterr() == ("", "")


def spec(number: int) -> str:
    return f"sha256:{f'{number:02x}' * 32}"


def build(client: RegistryClient, repository: Repository, number: int, created: datetime, *tags: str) -> ImageReference:
    """An image as flyte-build would have made it; its own tag is the one of its spec digest."""
    labels = {"build.flyte.spec-digest": spec(number)}
    text = created.isoformat().replace("+00:00", "Z")
    package = index_package(
        *(
            package_of(f"{number}".encode(), b"base", architecture=one, Labels=labels, created=text)
            for one in ("amd64", "arm64")
        )
    )
    return push_package(client, package, Target(repository, (spec(number)[7:47], *tags))).reference


def test_a_repository_is_listed_and_pruned(repository: Repository, client: RegistryClient, tmp_path: Path) -> None:
    old, tagged, young = (
        build(client, repository, 1, NOW - timedelta(days=40)),
        build(client, repository, 2, NOW - timedelta(days=30), "latest"),
        build(client, repository, 3, NOW - timedelta(hours=1)),
    )
    again = build(client, repository, 4, NOW - timedelta(days=50))
    attach(client, old, plan(tmp_path))
    # Taken from a cache, an image may look older than its build: what was attached then says when that was.
    attach(client, again, plan(tmp_path, "{ }", **{CREATED: (NOW - timedelta(hours=2)).isoformat()}))
    foreign = push_package(client, package_of(b"foreign"), Target(repository, ("theirs",))).reference
    images = list_images(client, repository)
    assert {one.reference for one in images} == {old, tagged, young, again, foreign}
    assert [one.reference for one in images][:2] == [young, again]
    listed = next(one for one in images if one.reference == old)
    assert (str(listed.spec_digest), len(listed.parts), len(listed.attached)) == (spec(1), 2, 1)
    assert inspect_image(client, ImageName(repository, listed.own_tag)).blobs == listed.blobs
    verdicts = choose(images, Rule(), NOW)
    assert [one.image.reference for one in verdicts if one.goes] == [old]
    assert [one.reference for one in remove(client, repository, verdicts)] == [old]
    assert {one.reference for one in list_images(client, repository)} == {tagged, young, again, foreign}
    for name in ("latest", "theirs", spec(3)[7:47]):
        tool("crane", "validate", "--remote", f"{repository}:{name}")
    gone = [old, *(ImageReference(repository, part) for part in listed.parts)]
    gone += [ImageReference(repository, one.digest) for one in listed.attached]
    assert [client.manifests.find(ImageName(repository, digest=one.digest)) for one in gone] == [None] * 4
    left = set(tool("crane", "ls", str(repository)).split())
    assert left == {"latest", "theirs", spec(2)[7:47], spec(3)[7:47], spec(4)[7:47], f"sha256-{again.digest.hex}"}


def test_what_is_tagged_while_we_decide_stays(repository: Repository, client: RegistryClient) -> None:
    old = build(client, repository, 1, NOW - timedelta(days=40))
    verdicts = choose(list_images(client, repository), Rule(), NOW)
    client.put_tag(old, "keep-me")
    assert list(remove(client, repository, verdicts)) == []
    assert client.find(ImageName(repository, "keep-me")) is not None


def test_a_repository_that_is_not_there_is_empty(repository: Repository, client: RegistryClient) -> None:
    assert list_images(client, repository) == ()


def test_whoever_only_checks_does_not_load_oras() -> None:
    script = (
        "import flyte_build.worker.drivers.image, sys; print(sorted({'oras', 'requests', 'boto3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
