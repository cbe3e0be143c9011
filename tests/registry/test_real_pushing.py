"""Blobs, images, tags and referrers in a real registry, judged by other people's clients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.registry.chaos import chaos_before
from tests.registry.images import config_of, index_package, manifest_of, noise, package_of
from tests.registry.servers import RawPush, checkers, docker_registry, judged, tool

from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_MANIFEST, Descriptor, Platform
from flyte_build.registry.encode import EMPTY, EMPTY_TYPE, encode_manifest
from flyte_build.registry.errors import InvalidInput, RegistryMissing, RegistryProtocol
from flyte_build.registry.inventory import list_images
from flyte_build.registry.layout import read_layout
from flyte_build.registry.names import ImageName, ImageReference, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.progress import Moved
from flyte_build.registry.referrers import Referrers, fallback_tag
from flyte_build.registry.transfer import push_package
from flyte_build.registry.uploads import Uploads
from flyte_build.registry.verify import digest_of

pytestmark = pytest.mark.real

# Small pieces, so that a megabyte goes in several.
PIECES = RegistryOptions(backoff=0.001, chunk=200_000)
TYPE = "application/vnd.test.note.v1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the registry keeps what it has."""
    return tmp_path_factory.mktemp("pushing")


@pytest.fixture(scope="module")
def registry(root: Path) -> Iterator[Registry]:
    with docker_registry(root) as registry:
        yield registry


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(None, PIECES, {})


@pytest.fixture
def repository(registry: Registry, fresh_name: str) -> Repository:
    return Repository(registry, f"acme/{fresh_name}")


def blob_of(content: bytes) -> Blob:
    return Blob.of_bytes(content, "application/octet-stream")


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        pytest.param(0, 0, id="nothing"),
        pytest.param(1, 0, id="a byte"),
        pytest.param(200_000, 0, id="one piece exactly"),
        pytest.param(200_001, 2, id="a byte more than a piece"),
        pytest.param(1_000_000, 5, id="five pieces"),
    ],
)
def test_a_blob_arrives_whole_and_comes_back(
    registry: Registry, fresh_name: str, client: RegistryClient, tmp_path: Path, size: int, pieces: int
) -> None:
    blob = blob_of(noise(size, fresh_name))
    moved: list[Moved] = []
    with chaos_before(registry) as chaos:
        repository = Repository(chaos.registry, f"acme/{fresh_name}")
        uploads = Uploads(client.api, client.blobs)
        assert uploads.push(repository, blob, progress=moved.append) == "sent"
        assert uploads.push(repository, blob) == "there"
        assert chaos.count("PATCH", ".") == pieces
    assert moved[-1] == Moved(digest=blob.descriptor.digest, done=size, total=size)
    path = tmp_path / "blob"
    client.blobs.fetch(Repository(registry, f"acme/{fresh_name}"), blob.descriptor, path)
    assert path.read_bytes() == b"".join(blob.open(0))
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_streamed_and_one_that_changes_meanwhile_is_told(
    repository: Repository, client: RegistryClient, tmp_path: Path
) -> None:
    path = tmp_path / "layer"
    path.write_bytes(noise(500_000))
    descriptor = Descriptor(media_type="x", digest=digest_of(path.read_bytes()), size=500_000)
    uploads = Uploads(client.api, client.blobs)
    path.write_bytes(noise(500_000, "other"))
    with pytest.raises(RegistryProtocol, match=r"cannot push the blob .* 400 .*DIGEST_INVALID"):
        uploads.push(repository, Blob.of_file(path, descriptor))
    path.write_bytes(b"short")
    with pytest.raises(InvalidInput, match="became shorter while it was sent"):
        uploads.push(repository, Blob.of_file(path, descriptor))
    path.unlink()
    with pytest.raises(InvalidInput, match=r"cannot read .*layer: no such file"):
        uploads.push(repository, Blob.of_file(path, descriptor))
    path.write_bytes(noise(500_000))
    assert uploads.push(repository, Blob.of_file(path, descriptor)) == "sent"


def test_a_blob_is_mounted_from_a_neighbour(registry: Registry, fresh_name: str, client: RegistryClient) -> None:
    first, second = (Repository(registry, f"acme/{fresh_name}{end}") for end in "ab")
    content = noise(300_000, fresh_name).hex()
    blob = blob_of(content.encode())
    uploads = Uploads(client.api, client.blobs)
    assert uploads.push(first, blob) == "sent"
    assert uploads.push(second, blob, first) == "mounted"
    assert uploads.push(second, blob, first) == "there"
    assert tool("crane", "blob", f"{second}@{blob.descriptor.digest}") == content


def test_a_neighbour_that_does_not_have_it_costs_one_request(
    registry: Registry, fresh_name: str, client: RegistryClient
) -> None:
    with chaos_before(registry) as chaos:
        first, second = (Repository(chaos.registry, f"acme/{fresh_name}{end}") for end in "ab")
        assert Uploads(client.api, client.blobs).push(second, blob_of(noise(9, fresh_name)), first) == "sent"
        assert chaos.count("POST", ".") == 1


def test_a_whole_image_is_there_for_everybody(repository: Repository, client: RegistryClient) -> None:
    package = package_of(noise(300_000), b"small", b"small")
    pushed = push_package(client, package, Target(repository, ("v1", "latest")))
    assert dict(pushed.arrived) == {"sent": 4}
    for tag in ("v1", "latest"):
        tool("crane", "validate", "--remote", f"{repository}:{tag}")
        for program in checkers():
            assert judged(program, f"{repository}:{tag}") == str(package.top.digest)
    again = push_package(client, package, Target(repository, ("v1",)))
    assert dict(again.arrived) == {"there": 4}


def test_an_index_is_there_for_everybody(repository: Repository, client: RegistryClient) -> None:
    package = index_package(package_of(b"a"), package_of(b"b", architecture="arm64"))
    pushed = push_package(client, package, Target(repository, ("v1",)))
    tool("crane", "validate", "--remote", f"{repository}:v1")
    found = client.resolve(ImageName(repository, "v1"))
    assert (found.reference, len(found.platforms)) == (pushed.reference, 2)


def test_an_index_that_does_not_say_for_what_its_images_are_is_read_to_the_end(
    repository: Repository, client: RegistryClient
) -> None:
    package = index_package(package_of(b"a", Labels={"x": "1"}), package_of(b"b", architecture="arm64"))
    top, body = package.manifests[-1]
    document = json.loads(body)
    for entry in document["manifests"]:
        del entry["platform"]
    body = json.dumps(document).encode()
    top = replace(top, digest=digest_of(body), size=len(body))
    push_package(
        client, replace(package, manifests=[*package.manifests[:-1], (top, body)]), Target(repository, ("v1",))
    )
    found = client.resolve(ImageName(repository, "v1"), [Platform.parse("linux/arm64")])
    assert list(map(str, found.platforms)) == ["linux/amd64", "linux/arm64"]
    assert client.labels(found) == (("x", "1"),)


def test_what_others_pushed_is_pushed_on_from_a_layout(
    registry: Registry, repository: Repository, client: RegistryClient, tmp_path: Path
) -> None:
    source = Repository(registry, f"{repository.path}-source")
    push_package(
        client, index_package(package_of(b"a"), package_of(b"b", architecture="arm64")), Target(source, ("v1",))
    )
    tool("crane", "pull", "--format", "oci", f"{source}:v1", str(tmp_path / "layout"))
    push_package(client, read_layout(tmp_path / "layout"), Target(repository, ("v1",)))
    assert judged("crane", f"{repository}:v1") == judged("crane", f"{source}:v1")
    tool("crane", "validate", "--remote", f"{repository}:v1")


def test_a_tag_never_names_something_incomplete(repository: Repository, client: RegistryClient) -> None:
    config = noise(10, str(repository))
    with pytest.raises(RegistryMissing, match=f"cannot push {repository}:v1: .*BLOB_UNKNOWN"):
        client.manifests.put(repository, manifest_of(config), OCI_MANIFEST, "v1")
    assert client.find(ImageName(repository, "v1")) is None


def test_tags_are_listed_and_images_deleted_as_others_see_it(
    registry: Registry, repository: Repository, client: RegistryClient
) -> None:
    push_package(client, package_of(b"one"), Target(repository, ("a", "b")))
    other = push_package(client, package_of(b"two"), Target(repository, ("c",)))
    assert sorted(client.manifests.tags(repository)) == ["a", "b", "c"]
    assert list(client.manifests.tags(Repository(registry, "acme/nowhere"))) == []
    assert client.manifests.delete(other.reference)
    assert not client.manifests.delete(other.reference)
    assert sorted(tool("crane", "ls", str(repository)).split()) == ["a", "b"]


def test_ten_thousand_tags_are_listed(repository: Repository, client: RegistryClient, root: Path) -> None:
    push = RawPush(f"http://{repository.registry}")
    config = config_of()
    push.blob(repository.path, config)
    body = manifest_of(config)
    # Writing them one by one is the slow part, and only one is needed to make the directory that they live in.
    push.manifest(repository.path, "t00000", body)
    push.close()
    first = next(root.rglob(f"{repository.path}/_manifests/tags/t00000"))
    for number in range(1, 10_000):
        link = first.with_name(f"t{number:05}") / "current" / "link"
        link.parent.mkdir(parents=True)
        link.write_text(str(digest_of(body)))
    tags = list(client.manifests.tags(repository))
    assert sorted(tags) == [f"t{number:05}" for number in range(10_000)]
    # Each tag is a request: a tenth of them shows that it is one image under all its tags, and how far we are.
    for number in range(1000, 10_000):
        shutil.rmtree(first.with_name(f"t{number:05}"))
    counted: list[tuple[int, int]] = []
    (image,) = list_images(client, repository, lambda *said: counted.append(said))
    assert len(image.tags) == 1000
    assert sorted(counted) == [(1, 1), *((done, 1000) for done in range(1, 1001))]


def _note(text: str, subject: Descriptor) -> tuple[list[Blob], bytes]:
    blobs = [Blob.of_bytes(EMPTY, EMPTY_TYPE), Blob.of_bytes(text.encode(), "text/plain")]
    body = encode_manifest(blobs[0].descriptor, [blobs[1].descriptor], artifact_type=TYPE, subject=subject)
    return blobs, body


def test_what_we_attach_others_discover_and_the_other_way_round(
    repository: Repository, client: RegistryClient, tmp_path: Path
) -> None:
    image = push_package(client, package_of(b"x"), Target(repository, ("v1",))).reference
    referrers = Referrers(client.api, client.manifests)
    assert referrers.list(image) == ()
    blobs, body = _note("ours", client.manifest(image).descriptor)
    uploads = Uploads(client.api, client.blobs)
    for blob in blobs:
        uploads.push(repository, blob)
    ours = referrers.attach(image, body)
    assert referrers.attach(image, body) == ours
    (tmp_path / "note.txt").write_text("theirs")
    argv = ["oras", "attach", "--plain-http", "--disable-path-validation", "--artifact-type", TYPE]
    tool(*argv, f"{repository}:v1", str(tmp_path / "note.txt"))
    listed = referrers.list(image, TYPE)
    assert len(listed) == 2
    assert ours.digest in {one.digest for one in listed}
    discovered = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", f"{repository}:v1"))
    assert {entry["digest"] for entry in discovered["manifests"]} == {str(one.digest) for one in listed}
    assert referrers.list(image, "application/vnd.other") == ()
    # The registry knows nothing of referrers: both used the tag, and neither lost the other's.
    assert fallback_tag(image) in list(client.manifests.tags(repository))


def test_what_is_about_another_image_is_not_attached(repository: Repository, client: RegistryClient) -> None:
    one, other = (
        push_package(client, package_of(content), Target(repository, ())).reference for content in (b"1", b"2")
    )
    _, body = _note("x", client.manifest(other).descriptor)
    with pytest.raises(InvalidInput, match="is not about"):
        Referrers(client.api, client.manifests).attach(one, body)


def test_an_image_by_digest_only_has_no_tag(repository: Repository, client: RegistryClient) -> None:
    pushed = push_package(client, package_of(b"x"), Target(repository, ()))
    assert client.find(ImageName(repository, digest=pushed.reference.digest)) is not None
    assert isinstance(pushed.reference, ImageReference)
    assert list(client.manifests.tags(repository)) == []
