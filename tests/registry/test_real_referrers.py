"""Referrers where the registry has the API for them; `native` is its double, the registry behind it is real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.registry.chaos import Chaos, chaos_before
from tests.registry.images import index_package, package_of
from tests.registry.native import NativeReferrers
from tests.registry.servers import docker_registry, tool

from flyte_build.registry.artifacts import LOG_TYPE, PLAN_TYPE, Artifact, ArtifactFile, attach, attach_all
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.inventory import SPEC_DIGEST, list_images
from flyte_build.registry.names import ImageName, ImageReference, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.prune import Rule, choose, remove
from flyte_build.registry.referrers import Referrers
from flyte_build.registry.transfer import push_package

pytestmark = pytest.mark.real

SPEC = f"sha256:{'ab' * 32}"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("referrers")) as registry:
        yield registry


@pytest.fixture
def native(real: Registry) -> Iterator[Chaos]:
    with chaos_before(real) as proxy:
        proxy.native = NativeReferrers(size=2)
        yield proxy


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(None, RegistryOptions(backoff=0.001), {})


@pytest.fixture
def image(native: Chaos, client: RegistryClient, fresh_name: str) -> ImageReference:
    package = package_of(fresh_name.encode(), created="2020-01-01T00:00:00Z", Labels={SPEC_DIGEST: SPEC})
    repository = Repository(native.registry, f"acme/{fresh_name}")
    return push_package(client, package, Target(repository, ("ab" * 20,))).reference


def note(folder: Path, text: str, kind: str) -> Artifact:
    path = folder / f"{text}.txt"
    path.write_text(text)
    return Artifact(artifact_type=kind, files=(ArtifactFile(path=path, title=path.name, media_type="text/plain"),))


def test_what_is_attached_is_listed_by_the_registry_and_no_tag_is_made(
    native: Chaos, client: RegistryClient, image: ImageReference, tmp_path: Path
) -> None:
    referrers = Referrers(client.api, client.manifests)
    assert referrers.list(image) == ()
    plan = note(tmp_path, "plan", PLAN_TYPE)
    ours = attach_all(client, image, (plan, *(note(tmp_path, f"log{n}", LOG_TYPE) for n in range(4))))
    # Three pages of at most two.
    assert {one.digest for one in referrers.list(image)} == {one.digest for one in ours}
    assert [one.digest for one in referrers.list(image, PLAN_TYPE)] == [attach(client, image, plan).digest]
    assert list(client.manifests.tags(image.repository)) == ["ab" * 20]
    assert native.count("PUT", "manifests/sha256-") == 0


def test_others_see_what_we_attach_and_we_see_what_they_attach(
    native: Chaos, client: RegistryClient, image: ImageReference, tmp_path: Path
) -> None:
    ours = attach(client, image, note(tmp_path, "ours", LOG_TYPE))
    (tmp_path / "theirs.txt").write_text("theirs")
    argv = ["oras", "attach", "--plain-http", "--disable-path-validation", "--artifact-type", "application/vnd.t"]
    tool(*argv, str(image), str(tmp_path / "theirs.txt"))
    discovered = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", str(image)))
    listed = Referrers(client.api, client.manifests).list(image)
    assert {entry["digest"] for entry in discovered["manifests"]} == {str(one.digest) for one in listed}
    assert {one.artifact_type for one in listed} == {LOG_TYPE, "application/vnd.t"}
    assert ours.digest in {one.digest for one in listed}
    assert native.count("GET", "/referrers/") >= 2


def test_what_is_attached_goes_with_its_image(
    native: Chaos, client: RegistryClient, image: ImageReference, tmp_path: Path
) -> None:
    log = attach(client, image, note(tmp_path, "log", LOG_TYPE))
    found = list_images(client, image.repository)
    assert [one.digest for one in found[0].attached] == [log.digest]
    now = datetime.now(timezone.utc) + timedelta(days=2)
    assert [one.reference for one in remove(client, image.repository, choose(found, Rule(), now))] == [image]
    assert native.count("DELETE", "manifests/") == 2
    assert list(client.manifests.tags(image.repository)) == []


@pytest.mark.parametrize("api", [True, False], ids=["with the API", "by tags"])
def test_what_is_about_an_image_and_its_parts_goes_with_it_and_is_no_image(
    native: Chaos, client: RegistryClient, fresh_name: str, tmp_path: Path, api: bool
) -> None:
    if not api:
        native.native = None
    parts = [
        package_of(fresh_name.encode(), architecture=one, created="2020-01-01T00:00:00Z", Labels={SPEC_DIGEST: SPEC})
        for one in ("amd64", "arm64")
    ]
    repository = Repository(native.registry, f"acme/{fresh_name}")
    image = push_package(client, index_package(*parts), Target(repository, ("ab" * 20,))).reference
    below = [ImageReference(repository, one.digest) for one in client.manifest(image).manifests]
    attached = [attach(client, one, note(tmp_path, f"of-{n}", LOG_TYPE)) for n, one in enumerate((image, *below))]
    # As cosign keeps signatures and attestations of the index and of a part.
    for tag in (f"sha256-{image.digest.hex}.sig", f"sha256-{below[0].digest.hex}.att"):
        package = push_package(client, package_of(tag.encode()), Target(repository, (tag,))).reference
        attached.append(package)
    (found,) = list_images(client, repository)
    assert found.reference == image
    now = datetime.now(timezone.utc) + timedelta(days=2)
    assert [one.reference for one in remove(client, repository, choose((found,), Rule(), now))] == [image]
    assert [
        one for one in (image, *below, *attached) if client.manifests.find(ImageName(repository, digest=one.digest))
    ] == []
    assert list(client.manifests.tags(repository)) == []
