"""Manifests that were built for one platform each -> one image for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.descriptors import OCI_INDEX, Descriptor, Platform
from flyte_build.registry.documents import Manifest
from flyte_build.registry.encode import encode_index
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.manifests import Put
from flyte_build.registry.names import ImageReference, Repository, Target


class Indexing(Protocol):
    """Where manifests are read and written."""

    def get(self, name: ImageReference) -> Manifest:
        """Raises RegistryMissing when it is not there."""
        ...

    def put(self, repository: Repository, body: bytes, media_type: str, tag: str = "") -> Put:
        """Stores the bytes, under `tag` unless it is empty."""
        ...


def join_parts(
    plan: BuildPlan, target: Target, parts: Mapping[Platform, ImageReference], manifests: Indexing
) -> ImageReference:
    """An index of `parts` under every name of the target, annotated as they are.

    Raises InvalidInput when a platform of the plan has no part, RegistryMissing when one is not there any more.
    """
    lacking = [str(platform) for platform in plan.platforms if platform not in parts]
    if lacking:
        raise InvalidInput(f"there is no manifest for {', '.join(lacking)} to make {target.repository} of")
    found = {platform: manifests.get(parts[platform]) for platform in plan.platforms}
    entries = [_entry(platform, manifest) for platform, manifest in found.items()]
    annotations = dict(next(iter(found.values())).annotations)
    body = encode_index(entries, annotations)
    stored = [manifests.put(target.repository, body, OCI_INDEX, tag) for tag in target.tags]
    return stored[0].reference


def _entry(platform: Platform, manifest: Manifest) -> Descriptor:
    one = manifest.descriptor
    return Descriptor(media_type=one.media_type, digest=one.digest, size=one.size, platform=platform)
