"""Bad weather in front of a real registry: what passes is survived, what stays is one sentence, no tag is a lie."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry.chaos import Chaos, Fault, chaos_before
from tests.registry.images import noise, package_of
from tests.registry.servers import docker_registry, tool

from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.encode import EMPTY, EMPTY_TYPE, encode_manifest
from flyte_build.registry.errors import (
    RegistryDenied,
    RegistryError,
    RegistryMissing,
    RegistryProtocol,
    RegistryUnavailable,
    RegistryUntrusted,
)
from flyte_build.registry.names import ImageName, ImageReference, Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.referrers import Referrers
from flyte_build.registry.transfer import Package, push_package
from flyte_build.registry.uploads import Uploads

pytestmark = pytest.mark.real

OPTIONS = RegistryOptions(
    backoff=0.001, chunk=100_000, read_timeout=2, connect_timeout=5, answer_timeout=5, patience=4, attempts=4
)
HTML = (("content-type", "text/html"),)
PAGE = b"<!doctype html><title>Sign in</title>"
NOW = (("retry-after", "0"),)
# What distribution 2 says of an index while another client pushes what it names.
RACED = b'{"errors":[{"code":"DIGEST_INVALID"},{"code":"MANIFEST_BLOB_UNKNOWN"}]}'


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("chaos")) as registry:
        yield registry


@pytest.fixture
def chaos(real: Registry) -> Iterator[Chaos]:
    with chaos_before(real) as chaos:
        yield chaos


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(None, OPTIONS, {})


@pytest.fixture
def package(fresh_name: str) -> Package:
    """A layer that goes in four pieces, one that goes whole, and a configuration."""
    return package_of(noise(350_000, fresh_name), noise(1000, fresh_name))


PATCH, PUT, POST = "blobs/uploads/[^?]+", r"blobs/uploads/.*digest=", "blobs/uploads/$"
PASSES = [
    pytest.param(Fault("answer", "POST", POST, 2, status=503), id="503 when an upload is opened"),
    pytest.param(Fault("answer", "POST", POST, 3, status=429, headers=NOW), id="429 when an upload is opened"),
    pytest.param(Fault("reset", "POST", POST, 2), id="a reset when an upload is opened"),
    pytest.param(Fault("answer", "HEAD", "blobs/", 2, status=500), id="500 when a blob is looked for"),
    pytest.param(Fault("reset", "PATCH", PATCH, 2), id="a reset before a piece"),
    pytest.param(Fault("lost", "PATCH", PATCH, 2), id="a piece arrives and its answer is lost"),
    pytest.param(Fault("shorter", "PATCH", PATCH, 1, skip=1), id="half a piece arrives"),
    pytest.param(Fault("answer", "PATCH", PATCH, 2, skip=1, status=502), id="502 for a piece"),
    pytest.param(Fault("answer", "PATCH", PATCH, 2, skip=1, status=429, headers=NOW), id="429 for a piece"),
    pytest.param(Fault("answer", "PATCH", PATCH, 1, skip=2, status=404), id="an upload is forgotten half way"),
    pytest.param(Fault("answer", "PATCH", PATCH, 1, skip=1, status=416), id="a piece that is not wanted"),
    pytest.param(Fault("hang", "PATCH", PATCH, 1, skip=1), id="a piece that is not answered"),
    pytest.param(Fault("answer", "PATCH", PATCH, 99, status=405), id="a registry without pieces"),
    pytest.param(Fault("answer", "PATCH", PATCH, 99, status=404), id="a registry that does not know the method"),
    pytest.param(Fault("reset", "PUT", PUT, 2), id="a reset before the end of an upload"),
    pytest.param(Fault("lost", "PUT", PUT, 2), id="an upload ends and its answer is lost"),
    pytest.param(Fault("answer", "PUT", PUT, 2, status=500), id="500 at the end of an upload"),
    pytest.param(Fault("answer", "PUT", PUT, 1, status=404), id="an upload is forgotten at its end"),
    pytest.param(Fault("hang", "PUT", PUT, 1), id="the end of an upload is not answered"),
    pytest.param(Fault("answer", "PUT", "manifests/", 2, status=503), id="503 for a manifest"),
    pytest.param(Fault("lost", "PUT", "manifests/", 2), id="a manifest arrives and its answer is lost"),
    pytest.param(Fault("reset", "PUT", "manifests/v1", 2), id="a reset before the tag"),
]


@pytest.mark.parametrize("fault", PASSES)
def test_a_push_survives(
    chaos: Chaos, client: RegistryClient, package: Package, fresh_name: str, real: Registry, fault: Fault
) -> None:
    # A value of the table is shared by all runs of it.
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    repository = Repository(chaos.registry, f"acme/{fresh_name}")
    pushed = push_package(client, package, Target(repository, ("v1",)))
    assert chaos.faults[0].happened > 0
    tool("crane", "validate", "--remote", f"{real}/{repository.path}:v1")
    assert tool("crane", "digest", f"{real}/{repository.path}:v1") == str(pushed.reference.digest)


STAYS = [
    pytest.param(Fault("answer", "POST", POST, 99, status=503), RegistryUnavailable, "503", id="503"),
    pytest.param(Fault("answer", "POST", POST, 99, status=403), RegistryDenied, "403", id="403"),
    pytest.param(Fault("answer", "POST", POST, 99, status=401), RegistryDenied, "401", id="401"),
    pytest.param(
        Fault("answer", "POST", POST, 99, status=200, body=PAGE, headers=HTML),
        RegistryProtocol,
        "HTML",
        id="a login page",
    ),
    pytest.param(Fault("answer", "POST", POST, 99, status=202), RegistryProtocol, "where to send", id="no location"),
    pytest.param(Fault("reset", "PATCH", PATCH, 99), RegistryUnavailable, "broke", id="resets"),
    pytest.param(Fault("answer", "PATCH", PATCH, 99, status=507), RegistryProtocol, "507", id="a full disk"),
    pytest.param(
        Fault("answer", "PATCH", PATCH, 99, skip=1, status=500), RegistryUnavailable, "500", id="500 for pieces"
    ),
    pytest.param(Fault("answer", "PUT", PUT, 99, status=500), RegistryUnavailable, "500", id="500 at the end"),
    pytest.param(Fault("answer", "PUT", PUT, 99, status=403), RegistryDenied, "403", id="403 at the end"),
    pytest.param(
        Fault("answer", "PUT", "manifests/", 99, status=429, headers=(("retry-after", "3600"),)),
        RegistryUnavailable,
        "429",
        id="429 for an hour",
    ),
    pytest.param(
        Fault("answer", "PUT", "manifests/sha256", 99, status=201, headers=(("docker-content-digest", "sha256:x"),)),
        RegistryProtocol,
        "stored",
        id="a manifest is altered",
    ),
    pytest.param(
        Fault("answer", "PUT", PUT, 99, status=201, headers=(("docker-content-digest", "sha256:x"),)),
        RegistryProtocol,
        "received",
        id="a blob is altered",
    ),
    pytest.param(Fault("answer", "PUT", PUT, 99, status=201), RegistryMissing, "BLOB_UNKNOWN", id="a blob is dropped"),
]


@pytest.mark.parametrize(("fault", "kind", "said"), STAYS)
def test_a_push_that_cannot_end_says_so_and_leaves_no_tag(
    chaos: Chaos,
    package: Package,
    fresh_name: str,
    real: Registry,
    fault: Fault,
    kind: type[RegistryError],
    said: str,
) -> None:
    client = RegistryClient(None, OPTIONS, {})
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    repository = Repository(chaos.registry, f"acme/{fresh_name}")
    start = time.monotonic()
    with pytest.raises(RegistryError, match=said) as caught:
        push_package(client, package, Target(repository, ("v1",)))
    assert time.monotonic() - start < 60
    assert type(caught.value) is kind
    assert str(chaos.registry) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert RegistryClient(None, OPTIONS, {}).find(ImageName(Repository(real, repository.path), "v1")) is None


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("no-mount", "POST", "mount=", 1), id="a registry that does not mount"),
        pytest.param(Fault("answer", "POST", "mount=", 1, status=404), id="one that knows no such way"),
        pytest.param(Fault("answer", "POST", "mount=", 1, status=403), id="one that does not let us read there"),
    ],
)
def test_what_is_not_mounted_is_sent(chaos: Chaos, client: RegistryClient, fresh_name: str, fault: Fault) -> None:
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    first, second = (Repository(chaos.registry, f"acme/{fresh_name}{end}") for end in "ab")
    blob = Blob.of_bytes(noise(1000, fresh_name), "x")
    uploads = Uploads(client.api, client.blobs)
    uploads.push(first, blob)
    assert uploads.push(second, blob, first) == "sent"
    assert client.blobs.exists(second, blob.descriptor.digest)


@pytest.fixture
def pushed(chaos: Chaos, client: RegistryClient, package: Package, fresh_name: str) -> ImageReference:
    repository = Repository(chaos.registry, f"acme/{fresh_name}")
    reference = push_package(client, package, Target(repository, ("v1",))).reference
    chaos.asked.clear()
    return reference


BLOB = "blobs/sha256"


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        pytest.param([Fault("reset", "GET", BLOB, 2)], 3, id="resets"),
        pytest.param([Fault("answer", "GET", BLOB, 2, status=503)], 3, id="503"),
        pytest.param([Fault("answer", "GET", BLOB, 2, status=429, headers=NOW)], 3, id="429"),
        pytest.param([Fault("cut", "GET", BLOB, 3)], 4, id="three cuts, each half of what was left"),
        pytest.param([Fault("hang", "GET", BLOB, 1)], 2, id="no answer"),
    ],
)
def test_a_download_goes_on_where_it_broke(
    chaos: Chaos,
    client: RegistryClient,
    pushed: ImageReference,
    package: Package,
    tmp_path: Path,
    faults: list[Fault],
    requests: int,
) -> None:
    chaos.faults.extend(Fault(**{**vars(fault), "happened": 0}) for fault in faults)
    layer = package.blobs[0]
    client.blobs.fetch(pushed.repository, layer.descriptor, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == b"".join(layer.open(0))
    assert chaos.count("GET", BLOB) == requests
    assert [path.name for path in tmp_path.iterdir()] == ["layer"]


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        pytest.param(Fault("flipped", "GET", BLOB, 99), RegistryProtocol, "does not have the digest", id="other bytes"),
        pytest.param(Fault("answer", "GET", BLOB, 99, status=404), RegistryMissing, "not there", id="not there"),
        pytest.param(Fault("answer", "GET", BLOB, 99, status=500), RegistryUnavailable, "500", id="500"),
        pytest.param(Fault("reset", "GET", BLOB, 99), RegistryUnavailable, "broke", id="resets"),
        pytest.param(
            Fault("answer", "GET", BLOB, 99, status=200, body=PAGE, headers=HTML),
            RegistryUnavailable,
            "cut off",
            id="a login page in place of a layer",
        ),
        pytest.param(
            Fault("answer", "GET", BLOB, 99, status=200, body=b"x" * 400_000),
            RegistryProtocol,
            "larger than",
            id="more than there is",
        ),
    ],
)
def test_a_download_that_cannot_end_leaves_nothing(
    chaos: Chaos,
    pushed: ImageReference,
    package: Package,
    tmp_path: Path,
    fault: Fault,
    kind: type[RegistryError],
    said: str,
) -> None:
    client = RegistryClient(None, OPTIONS, {})
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    with pytest.raises(RegistryError, match=said) as caught:
        client.blobs.fetch(pushed.repository, package.blobs[0].descriptor, tmp_path / "layer")
    assert type(caught.value) is kind
    assert list(tmp_path.iterdir()) == []


def test_an_answer_with_another_part_is_refused(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference, package: Package, tmp_path: Path
) -> None:
    other = Fault("answer", "GET", BLOB, 99, status=206, body=b"x", headers=(("content-range", "bytes 7-7/9"),))
    chaos.faults += [Fault("cut", "GET", BLOB, 1), other]
    with pytest.raises(RegistryProtocol, match="another part of the content"):
        client.blobs.fetch(pushed.repository, package.blobs[0].descriptor, tmp_path / "layer")


def test_a_registry_that_starts_again_from_the_beginning_is_understood(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference, package: Package, tmp_path: Path
) -> None:
    layer = package.blobs[0]
    whole = Fault("answer", "GET", BLOB, 1, status=200, body=b"".join(layer.open(0)))
    chaos.faults += [Fault("cut", "GET", BLOB, 1), whole]
    client.blobs.fetch(pushed.repository, layer.descriptor, tmp_path / "layer")
    assert (tmp_path / "layer").read_bytes() == b"".join(layer.open(0))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("answer", "GET", "referrers/", 99, status=404), id="a registry without referrers"),
        pytest.param(Fault("answer", "GET", "referrers/", 99, status=405), id="one that refuses the route"),
        pytest.param(
            Fault("answer", "GET", "referrers/", 99, status=404, body=PAGE, headers=HTML), id="one with a page for that"
        ),
        pytest.param(Fault("reset", "PUT", "manifests/sha256-", 2), id="resets while the list is written"),
        pytest.param(Fault("lost", "PUT", "manifests/sha256-", 2), id="lost answers while the list is written"),
        pytest.param(
            Fault("answer", "PUT", "manifests/sha256-", 4, status=400, body=RACED), id="what is listed is not seen yet"
        ),
    ],
)
def test_attaching_survives(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference, real: Registry, fault: Fault
) -> None:
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    blob = Blob.of_bytes(EMPTY, EMPTY_TYPE)
    Uploads(client.api, client.blobs).push(pushed.repository, blob)
    subject = client.manifest(pushed).descriptor
    body = encode_manifest(blob.descriptor, [blob.descriptor], artifact_type="application/vnd.t", subject=subject)
    referrers = Referrers(client.api, client.manifests)
    artifact = referrers.attach(pushed, body)
    assert [one.digest for one in referrers.list(pushed)] == [artifact.digest]
    name = f"{real}/{pushed.repository.path}@{pushed.digest}"
    found = json.loads(tool("oras", "discover", "--plain-http", "--format", "json", name))
    assert [entry["digest"] for entry in found["manifests"]] == [str(artifact.digest)]


@pytest.mark.parametrize(
    ("body", "kind", "attempts"),
    [
        pytest.param(RACED, RegistryMissing, 5, id="what is listed is never seen"),
        pytest.param(b'{"errors":[{"code":"MANIFEST_INVALID"}]}', RegistryProtocol, 1, id="another reason"),
    ],
)
def test_a_list_that_is_always_refused_says_why(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference, body: bytes, kind: type[RegistryError], attempts: int
) -> None:
    chaos.faults.append(Fault("answer", "PUT", "manifests/sha256-", 99, status=400, body=body))
    blob = Blob.of_bytes(EMPTY, EMPTY_TYPE)
    Uploads(client.api, client.blobs).push(pushed.repository, blob)
    subject = client.manifest(pushed).descriptor
    manifest = encode_manifest(blob.descriptor, [blob.descriptor], artifact_type="application/vnd.t", subject=subject)
    with pytest.raises(kind, match=r"cannot push .*:sha256-.* 400"):
        Referrers(client.api, client.manifests).attach(pushed, manifest)
    assert chaos.count("PUT", "manifests/sha256-") == attempts


def test_a_referrers_api_that_refuses_is_not_one_that_has_none(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference
) -> None:
    chaos.faults.append(Fault("answer", "GET", "referrers/", 99, status=403))
    with pytest.raises(RegistryDenied, match="cannot list what refers to"):
        Referrers(client.api, client.manifests).list(pushed)


def test_somebody_who_overwrites_the_list_at_the_same_time_does_not_win(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference
) -> None:
    # The registry says that it is written, and it is not: as if another client had written right after us.
    chaos.faults.append(Fault("answer", "PUT", "manifests/sha256-", 2, status=201))
    blob = Blob.of_bytes(EMPTY, EMPTY_TYPE)
    Uploads(client.api, client.blobs).push(pushed.repository, blob)
    subject: Descriptor = client.manifest(pushed).descriptor
    body = encode_manifest(blob.descriptor, [blob.descriptor], artifact_type="application/vnd.t", subject=subject)
    referrers = Referrers(client.api, client.manifests)
    artifact = referrers.attach(pushed, body)
    assert [one.digest for one in referrers.list(pushed)] == [artifact.digest]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(Fault("answer", "DELETE", "manifests/", 99, status=405), RegistryDenied, id="it does not delete"),
        pytest.param(Fault("answer", "DELETE", "manifests/", 99, status=403), RegistryDenied, id="not by us"),
        pytest.param(Fault("answer", "DELETE", "manifests/", 99, status=503), RegistryUnavailable, id="not now"),
    ],
)
def test_what_is_not_deleted_is_one_sentence(
    chaos: Chaos, client: RegistryClient, pushed: ImageReference, fault: Fault, kind: type[RegistryError]
) -> None:
    chaos.faults.append(Fault(**{**vars(fault), "happened": 0}))
    with pytest.raises(kind, match=f"cannot delete {pushed}"):
        client.manifests.delete(pushed)


def test_a_delete_whose_answer_is_lost_is_done(chaos: Chaos, client: RegistryClient, pushed: ImageReference) -> None:
    chaos.faults.append(Fault("lost", "DELETE", "manifests/", 1))
    assert client.manifests.delete(pushed) is False
    assert client.find(ImageName(pushed.repository, "v1")) is None


def test_pieces_that_arrived_are_not_sent_again(
    chaos: Chaos, client: RegistryClient, package: Package, fresh_name: str
) -> None:
    chaos.faults.append(Fault("reset", "PATCH", PATCH, 1, skip=2))
    repository = Repository(chaos.registry, f"acme/{fresh_name}")
    layer = package.blobs[0]
    assert Uploads(client.api, client.blobs).push(repository, layer) == "sent"
    # Four pieces, of which the third took two attempts.
    assert chaos.count("PATCH", PATCH) == 5
    assert chaos.count("POST", POST) == 1


def test_an_upload_that_is_led_to_our_neighbours_is_refused(
    chaos: Chaos, client: RegistryClient, package: Package, fresh_name: str
) -> None:
    chaos.faults.append(Fault("answer", "POST", POST, 1, status=202, headers=(("location", "http://10.0.0.1/u"),)))
    with pytest.raises(RegistryUntrusted, match="as a place for an upload or a page, which is not https"):
        Uploads(client.api, client.blobs).push(Repository(chaos.registry, f"acme/{fresh_name}"), package.blobs[1])
