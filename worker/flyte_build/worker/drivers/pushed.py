"""How much of an image is new: its layers that the base does not have."""

from __future__ import annotations

from collections.abc import Iterator

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import ImageReference


def new_bytes(registry: RegistryClient, image: ImageReference, base: ImageReference) -> int:
    """Bytes as they are stored, for every platform of the image; 0 where nobody says, because it is only counted."""
    try:
        known = {layer.digest for layer in _layers(registry, base)}
        new = {layer.digest: layer.size for layer in _layers(registry, image) if layer.digest not in known}
    except FlyteBuildError:
        return 0
    return sum(new.values())


def _layers(registry: RegistryClient, image: ImageReference) -> Iterator[Descriptor]:
    manifest = registry.manifests.get(image)
    yield from manifest.layers
    for one in manifest.manifests:
        yield from registry.manifests.get(ImageReference(image.repository, one.digest)).layers
