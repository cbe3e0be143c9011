"""Reading what is attached to a manifest. Whoever may push can write that: it is believed no further than it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.names import ImageReference
from flyte_build.registry.referrers import Referrers

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient

# As much as cosign takes.
_LARGEST = 128 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """An artifact of one file: where it is, and its content."""

    reference: ImageReference
    content: bytes


def read_attached(registry: RegistryClient, subject: ImageReference, artifact_type: str) -> tuple[Attached, ...]:
    """All artifacts of a type that are attached to a manifest, verified by digest.

    Raises RegistryProtocol for one that is listed there and is about something else, or is not one file.
    """
    listed = Referrers(registry.api, registry.manifests).list(subject, artifact_type)
    return tuple(_read(registry, subject, ImageReference(subject.repository, one.digest)) for one in listed)


def _read(registry: RegistryClient, subject: ImageReference, reference: ImageReference) -> Attached:
    manifest = registry.manifest(reference)
    if manifest.subject is None or manifest.subject.digest != subject.digest:
        raise RegistryProtocol(f"{reference} is listed as attached to {subject.digest}, and is about something else")
    if len(manifest.layers) != 1:
        raise RegistryProtocol(f"{reference} is not one file")
    return Attached(reference=reference, content=registry.blob(subject.repository, manifest.layers[0], _LARGEST))
