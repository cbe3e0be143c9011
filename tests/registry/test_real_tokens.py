"""The client against a real registry that believes a token service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.registry.doubles import FaultyRegistry, Seen, faulty_registry
from tests.registry.images import config_of
from tests.registry.servers import (
    BASIC,
    Issuer,
    RawPush,
    docker_registry,
    knowing,
)

from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import RegistryDenied
from flyte_build.registry.names import ImageName, Registry, Repository
from flyte_build.registry.options import RegistryOptions
from flyte_build.registry.uploads import Uploads

pytestmark = pytest.mark.real

AMD64 = Platform.parse("linux/amd64")
CONFIG = config_of(Env=["PATH=/opt/venv/bin:/bin"], Labels={"org.example": "x"}, User="flyte")
QUICK = RegistryOptions(backoff=0.001)


@pytest.fixture(scope="module")
def service() -> Iterator[FaultyRegistry]:
    with faulty_registry() as service:
        yield service


@pytest.fixture(scope="module")
def registry(service: FaultyRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("tokens")
    issuer = Issuer.make(root)
    service.says("/token", issuer.answer)
    with docker_registry(root, auth=issuer.section(f"{service.url}/token")) as registry:
        for repository in ("public/x", "acme/x"):
            token = json.loads(issuer.answer(_asks(repository)).body)["token"]
            push = RawPush(f"http://{registry}", {"authorization": f"Bearer {token}"})
            push.image(repository, "v1", CONFIG)
            push.close()
        yield registry


def test_anybody_reads_what_is_public(registry: Registry) -> None:
    client = RegistryClient(None, QUICK, {})
    assert client.resolve(ImageName.parse(f"{registry}/public/x:v1"), [AMD64])
    with pytest.raises(RegistryDenied, match="to anonymous"):
        client.find(ImageName.parse(f"{registry}/acme/x:v1"))
    with pytest.raises(RegistryDenied, match="cannot push to"):
        client.push_check(Repository.parse(f"{registry}/public/x"))


def test_who_is_known_reads_and_pushes_with_one_token_for_each(
    registry: Registry, service: FaultyRegistry, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client = RegistryClient(None, QUICK, knowing(tmp_path, registry))
    before = len(service.seen)
    image = client.resolve(ImageName.parse(f"{registry}/acme/x:v1"), [AMD64])
    client.push_check(image.reference.repository)
    assert not client.put_tag(image.reference, "v2").moved
    assert client.find(ImageName.parse(f"{registry}/acme/x:v3")) is None
    asked = [parse_qs(urlsplit(seen.path).query)["scope"][0] for seen in service.seen[before:]]
    actions = ("pull", "pull,push", "pull,push,delete")
    # A registry that deletes an upload forgets when it was started; some of its own notes stay.
    assert list(tmp_path_factory.getbasetemp().rglob("tokens*/**/acme/x/_uploads/*/startedat")) == []
    assert asked == [f"repository:acme/x:{wanted}" for wanted in actions]


def test_a_blob_is_mounted_with_a_token_that_is_good_for_both(
    registry: Registry, service: FaultyRegistry, tmp_path: Path, fresh_name: str
) -> None:
    client = RegistryClient(None, QUICK, knowing(tmp_path, registry))
    source, target = (Repository(registry, f"{fresh_name}/{end}") for end in ("a", "b"))
    blob = Blob.of_bytes(fresh_name.encode(), "x")
    uploads = Uploads(client.api, client.blobs)
    assert uploads.push(source, blob) == "sent"
    before = len(service.seen)
    assert uploads.push(target, blob, source) == "mounted"
    asked = [parse_qs(urlsplit(seen.path).query)["scope"] for seen in service.seen[before:]]
    assert [f"repository:{target.path}:pull,push", f"repository:{source.path}:pull"] in asked


def test_a_wrong_password_is_told_by_the_token_service(registry: Registry, tmp_path: Path) -> None:
    client = RegistryClient(None, QUICK, knowing(tmp_path, registry, "wrong"))
    with pytest.raises(RegistryDenied, match=r"cannot get a token .*incorrect password.* to alice") as caught:
        client.find(ImageName.parse(f"{registry}/acme/x:v1"))
    assert "wrong" not in str(caught.value)


def _asks(repository: str) -> Seen:
    return Seen(
        "GET", f"/token?service=reg.test&scope=repository:{repository}:pull,push", {"authorization": BASIC}, b""
    )
