"""How many signatures an image has. Whose they are only a key or an identity can tell, which is `verify`'s work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import FlyteBuildError, RegistryUnavailable
from flyte_build.registry.names import ImageName
from flyte_build.registry.referrers import attestation_tag, signature_tag

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.inventory import Stored

# How cosign 3 attaches both (sigstore/cosign, "specs/BUNDLE_SPEC.md"); registries without the referrers API may lose
# the annotation.
_BUNDLE = "application/vnd.dev.sigstore.bundle"
_KIND = "dev.sigstore.bundle.predicateType"
_SIGNATURE = "https://sigstore.dev/cosign/sign/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What cosign keeps beside an image. `unknown`: why nobody can say."""

    signatures: int = 0
    attestations: int = 0
    unknown: str = ""


def find_signatures(registry: RegistryClient, image: Stored) -> Signed:
    """How many signatures and attestations there are, whoever's. Raises RegistryUnavailable when nobody answers."""
    bundles = [dict(one.annotations) for one in image.attached if one.artifact_type.startswith(_BUNDLE)]
    signing = sum(one.get(_KIND, _SIGNATURE) == _SIGNATURE for one in bundles)
    try:
        return Signed(
            signatures=signing + _kept(registry, image, signature_tag(image.reference)),
            attestations=len(bundles) - signing + _kept(registry, image, attestation_tag(image.reference)),
        )
    except RegistryUnavailable:
        raise
    except FlyteBuildError as error:
        return Signed(unknown=error.sentence)


def _kept(registry: RegistryClient, image: Stored, tag: str) -> int:
    manifest = registry.manifests.find(ImageName(image.reference.repository, tag))
    return len(manifest.layers) if manifest is not None else 0
