"""Whom we believe, and through which proxy: real certificates, a real registry, a real tunnel."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry.doubles import Known
from tests.registry.images import package_of
from tests.registry.servers import Authority, docker_registry
from tests.registry.tunnel import tunnel_to

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import InvalidInput, RegistryError, RegistryUnavailable, RegistryUntrusted
from flyte_build.registry.names import Registry, Repository, Target
from flyte_build.registry.options import RegistryOptions, options_of
from flyte_build.registry.tls import host_folders, trust
from flyte_build.registry.transfer import push_package

pytestmark = pytest.mark.real

QUICK = RegistryOptions(backoff=0.001, attempts=2)
INSIDE = Registry.parse("registry.corp.test")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), INSIDE.host)


@pytest.fixture(scope="module")
def registry(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    tls = {"certificate": str(authority.root / "server.pem"), "key": str(authority.root / "server.key")}
    with docker_registry(tmp_path_factory.mktemp("tls"), http={"tls": tls}) as registry:
        yield registry


@pytest.fixture(scope="module")
def strict(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """One that lets in only who has a certificate of the authority's."""
    root = authority.root
    tls = {"certificate": str(root / "server.pem"), "key": str(root / "server.key"), "clientcas": [str(authority.ca)]}
    with docker_registry(tmp_path_factory.mktemp("strict"), http={"tls": tls}) as registry:
        yield registry


def certs(home: Path, registry: Registry, kind: str = "docker") -> Path:
    folder = home / ".config" / kind / "certs.d" / registry.host
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("kind", ["docker", "containers"])
def test_an_authority_in_certs_d_is_believed_for_its_registry_only(
    registry: Registry, strict: Registry, authority: Authority, tmp_path: Path, kind: str
) -> None:
    shutil.copy(authority.ca, certs(tmp_path, registry, kind) / "ca.crt")
    client = RegistryClient(Known(), QUICK, {"HOME": str(tmp_path)})
    client.push_check(Repository(registry, "acme/x"))
    with pytest.raises(RegistryUntrusted, match="is not trusted"):
        client.push_check(Repository(strict, "acme/x"))


def test_our_certificate_in_certs_d_is_shown(strict: Registry, authority: Authority, tmp_path: Path) -> None:
    folder = certs(tmp_path, strict)
    shutil.copy(authority.ca, folder / "ca.crt")
    with pytest.raises(RegistryError):
        RegistryClient(Known(), QUICK, {"HOME": str(tmp_path)}).push_check(Repository(strict, "acme/x"))
    _client_certificate(authority, folder)
    RegistryClient(Known(), QUICK, {"HOME": str(tmp_path)}).push_check(Repository(strict, "acme/x"))


def _client_certificate(authority: Authority, folder: Path) -> None:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-keyout", str(folder / "client.key"), "-out", str(folder / "client.cert"), "-subj", "/CN=alice"]
    command += ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "extendedKeyUsage=clientAuth"]
    command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, cwd=authority.root, check=True, capture_output=True, timeout=60)


def test_a_certificate_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    folder = certs(tmp_path, INSIDE)
    (folder / "client.cert").write_text("x")
    with pytest.raises(InvalidInput, match=r"our certificate .*client\.cert cannot be used"):
        trust(None, {}, host_folders(INSIDE.host, {"HOME": str(tmp_path)}))


@pytest.mark.parametrize("host", ["", "..", ".", "a/b", "user@"])
def test_a_host_never_leads_out_of_the_folder(tmp_path: Path, host: str) -> None:
    (tmp_path / ".config" / "docker" / "certs.d").mkdir(parents=True)
    (tmp_path / ".config" / "docker" / "x.crt").write_text("x")
    assert host_folders(host, {"HOME": str(tmp_path)}) == ()


def test_a_machine_without_authorities_believes_certifis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = ssl.DefaultVerifyPaths("", str(tmp_path), "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: empty)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: None)
    assert trust(None, {}).cert_store_stats()["x509_ca"] > 50
    assert trust(None, {"SSL_CERT_FILE": "/own.pem"}).cert_store_stats()["x509_ca"] == 0


def test_settings_of_the_environment(authority: Authority) -> None:
    options = options_of({"FLYTE_BUILD_CA_BUNDLE": str(authority.ca), "FLYTE_BUILD_PLAIN_HTTP": "a.test:80, b.test"})
    assert options.ca_bundle == authority.ca
    assert options.plain_http == (Registry("a.test:80"), Registry("b.test"))
    assert options_of({}) == RegistryOptions()


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_an_image_goes_through_a_tunnel_to_a_name_that_only_the_proxy_knows(
    registry: Registry, authority: Authority, password: str, fresh_name: str
) -> None:
    options = RegistryOptions(backoff=0.001, ca_bundle=authority.ca)
    with tunnel_to({f"{INSIDE}:443": registry.host}, password) as tunnel:
        client = RegistryClient(Known(), options, tunnel.environ)
        target = Target(Repository(INSIDE, f"acme/{fresh_name}"), ("v1",))
        pushed = push_package(client, package_of(b"x", b"y", b"z"), target)
        assert client.resolve(target.names()[0]).reference == pushed.reference
        assert set(tunnel.asked) == {f"{INSIDE}:443"}


def test_a_tunnel_that_wants_another_password_is_one_sentence(authority: Authority) -> None:
    options = RegistryOptions(backoff=0.001, ca_bundle=authority.ca, attempts=2)
    with tunnel_to({}, "s3cret") as tunnel:
        environ = {"https_proxy": f"http://u:guess@127.0.0.1:{tunnel.port}"}
        with pytest.raises(RegistryUnavailable, match="the proxy does not let us through") as caught:
            RegistryClient(Known(), options, environ).push_check(Repository(INSIDE, "acme/x"))
    assert "guess" not in f"{caught.value}{caught.value.hint}"
