"""Whole images to a registry: blobs first and at once, then manifests, the tag last.

A tag that is written last never names something incomplete, whenever we are interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyte_build.registry.blob import Blob
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.names import Digest, ImageReference, Repository, Target
from flyte_build.registry.parallel import in_parallel
from flyte_build.registry.progress import Progress, silent
from flyte_build.registry.uploads import Arrived, Uploads


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something whole: its blobs, the manifests that name them (an index after what it lists), the last one on top.

    `mounts` are repositories of the target's registry that may have a blob already.
    """

    blobs: Sequence[Blob]
    manifests: Sequence[tuple[Descriptor, bytes]]
    mounts: Mapping[Digest, Repository] | None = None

    @property
    def top(self) -> Descriptor:
        """What tags will name."""
        return self.manifests[-1][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedPackage:
    """Where it is, and how its blobs came there."""

    reference: ImageReference
    arrived: Mapping[Arrived, int]


def push_package(
    client: RegistryClient, package: Package, target: Target, progress: Progress = silent
) -> PushedPackage:
    """Puts a whole package under the target's tags (none: only under its digest).

    Raises what `Uploads.push` and `Manifests.put` raise; then no tag names it, and what is over stays for a retry.
    """
    repository = target.repository
    uploads = Uploads(client.api, client.blobs)
    unique = {blob.descriptor.digest: blob for blob in package.blobs}
    mounts = package.mounts or {}

    def push(blob: Blob) -> Arrived:
        return uploads.push(repository, blob, mounts.get(blob.descriptor.digest), progress)

    arrived = Counter(in_parallel(push, list(unique.values()), client.api.options.parallel))
    for descriptor, body in package.manifests:
        client.manifests.put(repository, body, descriptor.media_type)
    top, body = package.manifests[-1]
    for tag in target.tags:
        client.manifests.put(repository, body, top.media_type, tag)
    return PushedPackage(reference=ImageReference(repository, top.digest), arrived=dict(arrived))
