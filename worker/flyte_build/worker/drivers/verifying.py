"""Whether what is said of an image holds: its tag, its spec, where it comes from, what is in it, who signed that."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from flyte_build.registry.artifacts import PLAN_TYPE
from flyte_build.registry.errors import FlyteBuildError, RegistryUnavailable, SigningError
from flyte_build.registry.inventory import SPEC_DIGEST, Stored, inspect_image
from flyte_build.registry.names import ImageName
from flyte_build.worker.drivers.attached import read_attached
from flyte_build.worker.drivers.evidence import manifests_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.descriptors import Platform
    from flyte_build.registry.names import Digest, ImageReference

Status = Literal["ok", "failed", "missing", "unchecked"]
UNSIGNED = "unsigned: whoever may push can write this"
_OWN_TAG = re.compile(r"[0-9a-f]{40}")


class Signatures(Protocol):
    """Whoever says whose signatures an image has. Raises SigningError when nobody can say."""

    def signed(self, registry: RegistryClient, image: ImageReference) -> str:
        """Empty when a signature of the image counts, else why none does."""
        ...

    def attested(self, registry: RegistryClient, image: ImageReference, kind: str) -> list[bytes]:
        """The signed statements of a kind about the image, none where no signature counts."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at, how it is, and what to do about it. `signed`: by a signature that counts."""

    name: str
    status: Status
    said: str
    hint: str = ""
    signed: bool = False

    @property
    def holds(self) -> bool:
        """Whether nothing speaks against it; what was not asked for does not."""
        return self.status in ("ok", "unchecked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What is looked at: the image, its manifests by platform, and what it says of itself."""

    registry: RegistryClient
    reference: ImageReference
    platforms: Mapping[Platform, ImageReference]
    annotations: Mapping[str, str]
    spec_digest: Digest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What must hold beside the image itself. Without `signatures` nothing is said of who signed."""

    sbom: bool = True
    provenance: bool = True
    signatures: Signatures | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of every check."""

    image: Image
    checks: tuple[Check, ...]

    @property
    def holds(self) -> bool:
        """Whether all that was asked holds."""
        return all(check.holds for check in self.checks)


def verify(registry: RegistryClient, name: ImageName, wanted: Wanted) -> Verdict:
    """Looks at everything that is wanted. Raises RegistryError when the image cannot be read, SigningError when nobody
    can say who signed it; whatever does not fit is in the verdict.
    """
    from flyte_build.worker.drivers.verifying_said import provenance, sbom

    stored = inspect_image(registry, name, attached=False)
    manifest = registry.manifest(stored.reference)
    image = Image(
        registry=registry,
        reference=stored.reference,
        platforms=manifests_of(registry, stored.reference),
        annotations=dict(manifest.annotations),
        spec_digest=stored.spec_digest,
    )
    checks = [_named(image, name), _spec(image, name, stored), looked("plan", lambda: _plan(image, wanted.signatures))]
    if wanted.provenance:
        checks.append(looked("provenance", lambda: provenance(image, wanted.signatures)))
    for platform, below in image.platforms.items() if wanted.sbom else ():
        checks.append(looked(f"sbom {platform}", lambda below=below: sbom(image, below, wanted.signatures)))  # type: ignore[misc] # a default
    checks.append(_signature(image, wanted.signatures))
    return Verdict(image=image, checks=tuple(checks))


def looked(name: str, look: Callable[[], Check]) -> Check:
    """A check under its name; what cannot be read has failed. An answer that nobody has is an error, and not a no."""
    try:
        check = look()
    except (SigningError, RegistryUnavailable):
        raise
    except FlyteBuildError as error:
        check = Check(name=name, status="failed", said=error.sentence, hint=error.hint)
    return check


def _named(image: Image, name: ImageName) -> Check:
    """The bytes have the digest that was asked for, or the registry's client would have refused them."""
    if name.tag and name.digest:
        now = image.registry.manifests.find(ImageName(name.repository, name.tag))
        if now is None or now.descriptor.digest != name.digest:
            names = "nothing" if now is None else str(now.descriptor.digest)
            hint = "find out who moved it; the image itself cannot change"
            said = f"the tag {name.tag} names {names} and not this image"
            return Check(name="digest", status="failed", said=said, hint=hint)
    said = f"{image.reference.digest} for {', '.join(map(str, image.platforms)) or 'no platform'}"
    return Check(name="digest", status="ok", said=said)


def _spec(image: Image, name: ImageName, stored: Stored) -> Check:
    problem = "; ".join(_wrong_in_spec(image, name, stored))
    if problem:
        hint = "this is not what flyte-build pushed under this name: find out who did"
        return Check(name="spec", status="failed", said=problem, hint=hint)
    if image.spec_digest is None:
        hint = "build it with flyte-build; what others built, their own tools verify"
        return Check(name="spec", status="missing", said="the image names no spec that it was built from", hint=hint)
    return Check(name="spec", status="ok", said=str(image.spec_digest))


def _wrong_in_spec(image: Image, name: ImageName, stored: Stored) -> Iterator[str]:
    said = image.annotations.get(SPEC_DIGEST)
    if said is not None and said != str(image.spec_digest):
        yield f"its annotation names the spec {said}, and its labels {image.spec_digest or 'none'}"
    if name.tag and _OWN_TAG.fullmatch(name.tag) and name.tag != stored.own_tag:
        yield f"the tag {name.tag} stands for another spec than the image's ({image.spec_digest or 'none'})"


def _plan(image: Image, signatures: Signatures | None) -> Check:
    """The plan proves itself: its digest is the spec's."""
    found = read_attached(
        image.registry, image.reference, PLAN_TYPE, lambda content: hashlib.sha256(content).hexdigest()
    )
    found = found.doubting(
        lambda digest: "" if digest == _hex(image.spec_digest) else "it is not the plan of this spec"
    )
    if found.wrong and signatures is None:
        return Check(name="plan", status="failed", said=found.wrong, hint=found.hint)
    if not found.said:
        return Check(name="plan", status="unchecked", said=f"not attached (--no-attach){found.note}")
    return Check(name="plan", status="ok", said=f"its sha256 is the spec's{found.note}")


def _signature(image: Image, signatures: Signatures | None) -> Check:
    if signatures is None:
        said = "not looked at: give --key, or --certificate-identity with --certificate-oidc-issuer"
        return Check(name="signature", status="unchecked", said=said)
    why = signatures.signed(image.registry, image.reference)
    if why:
        hint = "build with --sign, or verify with the key of whoever built it"
        status: Status = "missing" if "no signatures found" in why else "failed"
        return Check(name="signature", status=status, said=why, hint=hint)
    return Check(name="signature", status="ok", said="cosign has verified it", signed=True)


def _hex(digest: Digest | None) -> str:
    return digest.hex if digest else ""
