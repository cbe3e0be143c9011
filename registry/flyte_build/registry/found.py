"""What a registry has under a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flyte_build.registry.descriptors import Descriptor, Platform
from flyte_build.registry.documents import ImageConfig, Manifest, Pairs
from flyte_build.registry.names import ImageName, ImageReference

_ATTESTATION = Platform("unknown", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An image that is there. `reference` has the digest of what the name points at, computed from its bytes.

    `manifests` are an index's, attestations left out; `config` is a single image's own (None for an index and for an
    artifact that is not an image).
    """

    reference: ImageReference
    media_type: str
    platforms: tuple[Platform, ...]
    manifests: tuple[Descriptor, ...] = ()
    annotations: Pairs = ()
    config: ImageConfig | None = None

    @property
    def labels(self) -> Pairs:
        """A single image's labels, sorted (name, value) pairs."""
        return self.config.labels if self.config else ()

    def covers(self, platforms: Iterable[Platform]) -> bool:
        """Whether it can be run on each of these platforms."""
        return set(platforms) <= set(self.platforms)


def found(name: ImageName, manifest: Manifest, config: ImageConfig | None) -> Found:
    """`config` is what the manifest's config descriptor names, where it is an image's."""
    images = tuple(entry for entry in manifest.manifests if entry.platform != _ATTESTATION)
    offered = [entry.platform for entry in images if entry.platform]
    return Found(
        reference=name.pinned(manifest.descriptor.digest),
        media_type=manifest.descriptor.media_type,
        platforms=tuple(dict.fromkeys([*offered, config.platform] if config else offered)),
        manifests=images,
        annotations=manifest.annotations,
        config=config,
    )
