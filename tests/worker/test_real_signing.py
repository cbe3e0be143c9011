"""Signing where the registry wants a password and has a certificate of a private authority."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.registry.images import package_of
from tests.registry.servers import PASSWORD, Authority, docker_registry, htpasswd, knowing

from flyte_build.builder.installed import Installed
from flyte_build.builder.loose import format_json
from flyte_build.builder.sbom import Listed, Maker, sbom_of
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import SigningError
from flyte_build.registry.names import ImageReference, Repository, Target
from flyte_build.registry.transfer import push_package
from flyte_build.worker.drivers.evidence import Evidence, Trust
from flyte_build.worker.drivers.joined import installed_in
from flyte_build.worker.drivers.record import Record, attach_record
from flyte_build.worker.signing.argv import SBOM, Signing, Trusted
from flyte_build.worker.signing.cosign import Cosign
from flyte_build.worker.signing.signer import CosignSigner
from flyte_build.worker.signing.verifier import Verifier

pytestmark = pytest.mark.real

KEY = {"COSIGN_PASSWORD": "correct horse"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """An image behind a password and a private authority, whoever knows both, and a key."""

    image: ImageReference
    client: RegistryClient
    folder: Path

    @property
    def signer(self) -> CosignSigner:
        how = Signing(key=str(self.folder / "cosign.key"), tlog=False)
        return CosignSigner(how, Cosign(os.environ | KEY))

    @property
    def verifier(self) -> Verifier:
        return Verifier(Trusted(key=str(self.folder / "cosign.pub"), tlog=False), Cosign())


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    served = tmp_path / "served"
    served.mkdir()
    authority = Authority.make(served)
    tls = {"certificate": str(served / "server.pem"), "key": str(served / "server.key")}
    make_key(tmp_path, KEY["COSIGN_PASSWORD"])
    # What cosign would find by itself knows nothing of this registry.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path / "cache"))
    with docker_registry(served, auth=htpasswd(served), http={"tls": tls}) as registry:
        environment = {**knowing(tmp_path / "known", registry), "FLYTE_BUILD_CA_BUNDLE": str(authority.ca)}
        client = RegistryClient(environ=environment)
        target = Target(Repository(registry, "acme/train"), ("1",))
        yield Guarded(image=push_package(client, package_of(b"x"), target).reference, client=client, folder=tmp_path)


def test_what_our_client_knows_of_a_registry_cosign_knows_too(guarded: Guarded) -> None:
    signer, verifier = guarded.signer, guarded.verifier
    signer.ready()
    assert not signer.signed(guarded.client, guarded.image)
    assert verifier.attested(guarded.client, guarded.image, SBOM) == []
    signer.attest(guarded.client, guarded.image, {SBOM: b'{"bomFormat": "CycloneDX"}'})
    signer.sign(guarded.client, guarded.image)
    assert signer.signed(guarded.client, guarded.image)
    assert verifier.signed(guarded.client, guarded.image) == ""
    assert len(verifier.attested(guarded.client, guarded.image, SBOM)) == 1
    signer.attest(guarded.client, guarded.image, {SBOM: b'{"bomFormat": "CycloneDX", "version": 2}'})
    (only,) = verifier.attested(guarded.client, guarded.image, SBOM)
    assert b'"version":2' in only, "the older one went"


def test_nothing_that_signing_leaves_or_says_holds_a_password(guarded: Guarded) -> None:
    guarded.signer.sign(guarded.client, guarded.image)
    stranger = RegistryClient(
        environ={"FLYTE_BUILD_CA_BUNDLE": str(guarded.folder / "served/ca.pem"), "HOME": "/nowhere"}
    )
    with pytest.raises(SigningError) as refused:
        guarded.signer.sign(stranger, guarded.image)
    assert "is not signed: cosign sign says: " in refused.value.sentence
    left = [file for file in (guarded.folder / "cache").rglob("*") if file.is_file() and file.stat().st_size]
    assert [file for file in left if PASSWORD.encode() in file.read_bytes()] == []
    assert not list((guarded.folder / "cache/docker").glob("*/config.json"))
    assert "correct horse" not in repr(guarded.signer) + str(refused.value)


def test_a_registry_that_does_not_answer_is_not_a_no(guarded: Guarded) -> None:
    gone = ImageReference(Repository.parse("127.0.0.1:9/acme/train"), guarded.image.digest)
    with pytest.raises(SigningError, match="cannot say whether"):
        guarded.signer.signed(guarded.client, gone)
    with pytest.raises(SigningError, match="cannot say what is signed"):
        guarded.verifier.attested(guarded.client, gone, SBOM)


def test_of_a_part_only_what_was_signed_is_signed_again(guarded: Guarded) -> None:
    """Who may push could attach another list before the parts are joined."""
    listed = Installed(platform=Platform.parse("linux/amd64"))
    trust = Trust(signer=guarded.signer)
    assert (
        attach_record(guarded.client, guarded.image, Record(installed=(listed,)), Evidence(image=guarded.image)) == ""
    )
    assert installed_in(guarded.client, guarded.image, Trust()) == listed
    with pytest.raises(SigningError, match="nobody signed what is in"):
        installed_in(guarded.client, guarded.image, trust)
    own = Installed(platform=listed.platform, distribution="debian-12")
    bill = sbom_of(Listed(image=guarded.image, installed=own), Maker(version="1", at="2026-11-29T12:00:00Z"))
    guarded.signer.attest(guarded.client, guarded.image, {SBOM: format_json(bill)})
    assert installed_in(guarded.client, guarded.image, trust) == own


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        pytest.param({}, "the password of the key {key} is not set, and it has one", id="not set"),
        pytest.param({"COSIGN_PASSWORD": ""}, "the password of the key {key} is wrong", id="empty"),
        pytest.param({"COSIGN_PASSWORD": "x"}, "the password of the key {key} is wrong", id="wrong"),
    ],
)
def test_a_password_that_nobody_gave_is_not_called_wrong(tmp_path: Path, known: dict[str, str], sentence: str) -> None:
    key, environment = make_key(tmp_path, KEY["COSIGN_PASSWORD"])
    with pytest.raises(SigningError) as refused:
        CosignSigner(Signing(key=key, tlog=False), Cosign(environment | known)).ready()
    assert refused.value.sentence == sentence.format(key=key)
    assert refused.value.hint == "set COSIGN_PASSWORD to the password that it was made with"


def test_an_empty_password_needs_not_be_said(tmp_path: Path) -> None:
    key, environment = make_key(tmp_path, "")
    CosignSigner(Signing(key=key, tlog=False), Cosign(environment)).ready()


def make_key(folder: Path, password: str) -> tuple[str, dict[str, str]]:
    """A key of that password, and an environment that says none."""
    environment = {name: value for name, value in os.environ.items() if name != "COSIGN_PASSWORD"}
    argv, known = ("cosign", "generate-key-pair"), environment | {"COSIGN_PASSWORD": password}
    subprocess.run(argv, cwd=folder, env=known, check=True, capture_output=True)
    return str(folder / "cosign.key"), environment
