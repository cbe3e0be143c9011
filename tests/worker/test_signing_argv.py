"""What cosign is told: 2 and 3 know different flags, and keyless has no key."""

from __future__ import annotations

import pytest

from flyte_build.registry.names import ImageReference
from flyte_build.worker.signing.argv import (
    KEYLESS,
    PROVENANCE,
    Place,
    Signing,
    Trusted,
    attest_argv,
    sign_argv,
    verify_argv,
    verify_attestation_argv,
)

IMAGE = ImageReference.parse(f"ghcr.io/acme/train@sha256:{'a' * 64}")
HERE = Place()


@pytest.mark.parametrize(
    ("how", "place", "flags"),
    [
        pytest.param(Signing(key="k.key"), HERE, "--key k.key --yes", id="a key, in the public log"),
        pytest.param(Signing(key="k.key", tlog=False), HERE, "--key k.key --tlog-upload=false --yes", id="no log"),
        pytest.param(Signing(key=KEYLESS), HERE, "--yes", id="keyless"),
        pytest.param(Signing(key="awskms:///alias/x"), HERE, "--key awskms:///alias/x --yes", id="a KMS"),
        pytest.param(
            Signing(key=KEYLESS),
            Place(configures=True),
            "--use-signing-config=false --new-bundle-format=false --yes",
            id="cosign 3",
        ),
        pytest.param(
            Signing(key="k.key"),
            Place(plain=True, ca="ca.pem"),
            "--key k.key --allow-http-registry=true --registry-cacert ca.pem --yes",
            id="a registry of one's own",
        ),
    ],
)
def test_signing_and_attesting_say_the_same_of_key_log_form_and_registry(
    how: Signing, place: Place, flags: str
) -> None:
    assert sign_argv(how, IMAGE, place) == ("cosign", "sign", "--recursive", *flags.split(), str(IMAGE))
    about = ("--type", "slsaprovenance1", "--predicate", "p.json", "--replace=true")
    assert attest_argv(how, IMAGE, PROVENANCE, "p.json", place) == (
        "cosign",
        "attest",
        *about,
        *flags.split(),
        str(IMAGE),
    )


@pytest.mark.parametrize(
    ("trusted", "flags"),
    [
        pytest.param(Trusted(key="k.pub"), "--key k.pub", id="a key"),
        pytest.param(Trusted(key="k.pub", tlog=False), "--key k.pub --insecure-ignore-tlog=true", id="no log"),
        pytest.param(
            Trusted(identity="a@b", issuer="https://c"),
            "--certificate-identity a@b --certificate-oidc-issuer https://c",
            id="an identity",
        ),
    ],
)
def test_verifying_names_a_key_or_an_identity_with_its_issuer(trusted: Trusted, flags: str) -> None:
    assert verify_argv(trusted, IMAGE, HERE) == ("cosign", "verify", *flags.split(), str(IMAGE))
    asked = verify_attestation_argv(trusted, IMAGE, PROVENANCE, HERE)
    assert asked == ("cosign", "verify-attestation", "--type", "slsaprovenance1", *flags.split(), str(IMAGE))


def test_a_key_is_a_file_unless_it_is_a_uri_or_none() -> None:
    kinds = {key: Signing(key=key).is_file for key in ("cosign.key", "env://KEY", "k8s://a/b", KEYLESS)}
    assert kinds == {"cosign.key": True, "env://KEY": False, "k8s://a/b": False, KEYLESS: False}
