"""The command lines of cosign (github.com/sigstore/cosign, 2.x and 3.x). Pure.

Signatures and attestations are written in the form that every verifier reads: cosign 3 would write bundles, which older
ones and several admission controllers do not find.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyte_build.registry.names import ImageReference

KEYLESS = "keyless"
# cosign's names of the kinds of statements that we make.
PROVENANCE, SBOM = "slsaprovenance1", "cyclonedx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """With what is signed: a file, `env://VARIABLE`, a URI of a KMS, or `keyless`. `tlog`: also in the public log."""

    key: str
    tlog: bool = True

    @property
    def is_keyless(self) -> bool:
        """Whether the identity of whoever signs stands for a key."""
        return self.key == KEYLESS

    @property
    def is_file(self) -> bool:
        """Whether the key is a file of this machine."""
        return not self.is_keyless and "://" not in self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """Whose signatures count: a public key's, or an identity's that an issuer vouches for. `tlog`: the log has them."""

    key: str = ""
    identity: str = ""
    issuer: str = ""
    tlog: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How cosign reaches the registry, and which flags it knows: `configures` since 2.6."""

    plain: bool = False
    ca: str = ""
    configures: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """For every command that speaks to the registry."""
        authority = ("--registry-cacert", self.ca) if self.ca else ()
        return (*(("--allow-http-registry=true",) if self.plain else ()), *authority)


def sign_argv(how: Signing, image: ImageReference, place: Place) -> tuple[str, ...]:
    """Signs a manifest, and for an index every manifest of it: both are what clusters run."""
    return ("cosign", "sign", "--recursive", *_made(how, place), str(image))


def attest_argv(how: Signing, image: ImageReference, kind: str, predicate: str, place: Place) -> tuple[str, ...]:
    """Signs the statement that what the file `predicate` says is true of the image; an older one of the kind goes."""
    about = ("--type", kind, "--predicate", predicate, "--replace=true")
    return ("cosign", "attest", *about, *_made(how, place), str(image))


def public_key_argv(how: Signing, file: str) -> tuple[str, ...]:
    """Writes the public half of the key: it can be read, and the password is right."""
    return ("cosign", "public-key", "--key", how.key, "--outfile", file)


def verify_argv(trusted: Trusted, image: ImageReference, place: Place) -> tuple[str, ...]:
    """Whether a signature of the image counts."""
    return ("cosign", "verify", *_believed(trusted), *place.flags, str(image))


def verify_attestation_argv(trusted: Trusted, image: ImageReference, kind: str, place: Place) -> tuple[str, ...]:
    """Prints the statements of that kind whose signature counts."""
    return ("cosign", "verify-attestation", "--type", kind, *_believed(trusted), *place.flags, str(image))


def _made(how: Signing, place: Place) -> tuple[str, ...]:
    key = () if how.is_keyless else ("--key", how.key)
    log = () if how.tlog else ("--tlog-upload=false",)
    # A signing config and a bundle are the defaults of cosign 3, and refuse what is asked here.
    form = ("--use-signing-config=false", "--new-bundle-format=false") if place.configures else ()
    return (*key, *log, *form, *place.flags, "--yes")


def _believed(trusted: Trusted) -> tuple[str, ...]:
    log = () if trusted.tlog else ("--insecure-ignore-tlog=true",)
    if trusted.key:
        return ("--key", trusted.key, *log)
    return ("--certificate-identity", trusted.identity, "--certificate-oidc-issuer", trusted.issuer, *log)
