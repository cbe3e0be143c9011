"""The client against real registries with passwords, and with TLS of a private authority."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry.images import config_of
from tests.registry.servers import (
    BASIC,
    Authority,
    RawPush,
    docker_registry,
    htpasswd,
    knowing,
)

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, RegistryDenied, RegistryUntrusted
from flyte_build.registry.names import ImageName, Registry, Repository
from flyte_build.registry.options import RegistryOptions

pytestmark = pytest.mark.real

AMD64 = Platform.parse("linux/amd64")
CONFIG = config_of(Env=["PATH=/opt/venv/bin:/bin"], Labels={"org.example": "x"}, User="flyte")
QUICK = RegistryOptions(backoff=0.001)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("htpasswd")
    with docker_registry(root, auth=htpasswd(root)) as registry:
        push = RawPush(f"http://{registry}", {"authorization": BASIC})
        push.image("acme/x", "v1", CONFIG)
        push.close()
        yield registry


def test_who_logged_in_with_docker_finds_pushes_and_tags(registry: Registry, tmp_path: Path) -> None:
    client = RegistryClient(None, QUICK, knowing(tmp_path, registry))
    image = client.resolve(ImageName.parse(f"{registry}/acme/x:v1"), [AMD64])
    client.push_check(image.reference.repository)
    assert not client.put_tag(image.reference, "v2").moved
    assert client.find(ImageName.parse(f"{registry}/acme/x:v3")) is None


@pytest.mark.parametrize(
    ("password", "who"),
    [
        pytest.param(None, "to anonymous", id="nobody"),
        pytest.param("wrong", r"to alice \(from ~/\.docker/config\.json\)", id="a wrong password"),
    ],
)
def test_others_are_told_who_they_were(registry: Registry, tmp_path: Path, password: str | None, who: str) -> None:
    environ = {"HOME": str(tmp_path)} if password is None else knowing(tmp_path, registry, password)
    client = RegistryClient(None, QUICK, environ)
    with pytest.raises(RegistryDenied, match=rf"cannot read {registry}/acme/x:v1: .* 401 .*{who}$"):
        client.find(ImageName.parse(f"{registry}/acme/x:v1"))
    with pytest.raises(RegistryDenied, match=rf"cannot push to {registry}/acme/x: .* 401 .*{who}$"):
        client.push_check(Repository.parse(f"{registry}/acme/x"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls_registry(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    root = tmp_path_factory.mktemp("tls")
    tls = {"certificate": str(authority.root / "server.pem"), "key": str(authority.root / "server.key")}
    with docker_registry(root, http={"tls": tls}, auth=htpasswd(root)) as registry:
        push = RawPush(f"https://{registry}", {"authorization": BASIC}, authority.ca)
        push.image("acme/x", "v1", CONFIG)
        push.close()
        yield registry


@pytest.mark.parametrize("variable", ["", "REQUESTS_CA_BUNDLE"])
def test_a_private_authority_is_believed_when_it_is_named(
    tls_registry: Registry, authority: Authority, tmp_path: Path, variable: str
) -> None:
    environ = knowing(tmp_path, tls_registry)
    if variable:
        client = RegistryClient(None, QUICK, {**environ, variable: str(authority.ca)})
    else:
        client = RegistryClient(None, RegistryOptions(ca_bundle=authority.ca), environ)
    assert client.resolve(ImageName.parse(f"{tls_registry}/acme/x:v1")).platforms == (AMD64,)


def test_and_not_otherwise(tls_registry: Registry, tmp_path: Path) -> None:
    client = RegistryClient(None, QUICK, knowing(tmp_path, tls_registry))
    with pytest.raises(RegistryUntrusted, match=rf"the certificate of https://{tls_registry} is not trusted") as caught:
        client.find(ImageName.parse(f"{tls_registry}/acme/x:v1"))
    assert "SSL_CERT_FILE" in caught.value.hint
    assert f"certs.d/{tls_registry}/ca.crt" in caught.value.hint


@pytest.mark.parametrize(("content", "why"), [("nonsense", "holds no certificate"), (None, "no such file")])
def test_a_bundle_that_cannot_be_used_is_one_sentence(
    tls_registry: Registry, tmp_path: Path, content: str | None, why: str
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    client = RegistryClient(None, RegistryOptions(ca_bundle=bundle), {})
    with pytest.raises(InvalidInput, match=rf"(?i)the CA bundle .*ca\.pem cannot be used: .*{why}"):
        client.find(ImageName.parse(f"{tls_registry}/acme/x:v1"))
