"""What a repository holds: images, what they were built from, when, and what they share."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import count

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import INDEXES, MANIFESTS, Descriptor, Platform
from flyte_build.registry.documents import IMAGE_CONFIGS, ImageConfig, Manifest, decode_config
from flyte_build.registry.errors import InvalidName
from flyte_build.registry.moments import parse_moment
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository
from flyte_build.registry.parallel import Item, Result, in_parallel
from flyte_build.registry.referrers import Listed, Referrers

SPEC_DIGEST = "build.flyte.spec-digest"
CREATED = "org.opencontainers.image.created"
_ABOUT = re.compile(r"sha(256|512)-[0-9a-f]{64,128}(\.(sig|att|sbom))?")
# What a reproducible build says instead of the time.
_EARLIEST = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MOST_MANIFESTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An image (or something else) of a repository, under all its tags.

    `spec_digest` is None for what flyte-build has not built. `created` is the latest of what the image and what is
    attached to it say, None when nothing does. `parts` are the manifests of an index, `blobs` everything below.
    `unlisted`: why nobody can say what is attached.
    """

    reference: ImageReference
    tags: tuple[str, ...]
    platforms: tuple[Platform, ...] = ()
    spec_digest: Digest | None = None
    created: datetime | None = None
    parts: tuple[Digest, ...] = ()
    blobs: tuple[Descriptor, ...] = ()
    attached: tuple[Descriptor, ...] = ()
    unlisted: str = ""

    @property
    def size(self) -> int:
        """Bytes of everything below, each blob once."""
        return sum(blob.size for blob in self.blobs)

    @property
    def own_tag(self) -> str:
        """The tag that names it after its spec, empty for what is not ours."""
        return self.spec_digest.hex[:40] if self.spec_digest else ""


Counted = Callable[[int, int], None]


def nobody(done: int, total: int) -> None:
    """For when nobody looks."""


def tagged(client: RegistryClient, repository: Repository, counted: Counted = nobody) -> dict[str, Manifest]:
    """What each tag names now. Tags of the referrers tag scheme, and cosign's, are no tags of images.

    One request for each tag: registries have no other way. `counted` hears how many of how many are read.
    """
    tags = [tag for tag in client.manifests.tags(repository) if not _ABOUT.fullmatch(tag)]

    def find(tag: str) -> Manifest | None:
        manifest = client.manifests.find(ImageName(repository, tag))
        # The bytes have been read and are not wanted again; thousands of them would be kept.
        return replace(manifest, body=b"") if manifest else None

    looked = in_parallel(_counting(find, len(tags), counted), tags, client.api.options.parallel)
    named = zip(tags, looked, strict=True)
    return {tag: manifest for tag, manifest in named if manifest is not None}


def list_images(client: RegistryClient, repository: Repository, counted: Counted = nobody) -> tuple[Stored, ...]:
    """Everything that a tag names, newest first, then what has no time. A repository that is not there is empty.

    `counted` hears how many of how many tags, and then images, are read.
    """
    named = tagged(client, repository, counted)
    tags: dict[Digest, list[str]] = defaultdict(list)
    for tag, manifest in named.items():
        tags[manifest.descriptor.digest].append(tag)
    unique = {manifest.descriptor.digest: manifest for manifest in named.values()}

    def describe(manifest: Manifest) -> Stored:
        found = (manifest, _attached(client, repository, manifest))
        return _describe(client, repository, found, tuple(sorted(tags[manifest.descriptor.digest])))

    manifests = list(unique.values())
    images = in_parallel(_counting(describe, len(manifests), counted), manifests, client.api.options.parallel)
    return tuple(sorted(images, key=_newest_first))


def inspect_image(client: RegistryClient, name: ImageName, *, attached: bool = True) -> Stored:
    """One image; its tags are the one it was asked by. Without `attached` nobody asks what is attached.

    Raises RegistryMissing when it is not there.
    """
    manifest = client.manifest(name)
    listed = _attached(client, name.repository, manifest) if attached else Listed()
    return _describe(client, name.repository, (manifest, listed), (name.tag,) if name.tag else ())


def shared(images: Iterable[Stored]) -> dict[Digest, int]:
    """For each blob that several of these images have: how many have it."""
    holders: dict[Digest, int] = defaultdict(int)
    for image in images:
        for digest in {blob.digest for blob in image.blobs}:
            holders[digest] += 1
    return {digest: number for digest, number in holders.items() if number > 1}


def _counting(work: Callable[[Item], Result], total: int, counted: Counted) -> Callable[[Item], Result]:
    done = count(1)

    def counting(item: Item) -> Result:
        result = work(item)
        counted(next(done), total)
        return result

    return counting


def _attached(client: RegistryClient, repository: Repository, manifest: Manifest) -> Listed:
    return Referrers(client.api, client.manifests).read(ImageReference(repository, manifest.descriptor.digest))


def _describe(
    client: RegistryClient,
    repository: Repository,
    found: tuple[Manifest, Listed],
    tags: tuple[str, ...],
) -> Stored:
    manifest, listed = found
    # BuildKit's cache is an index whose entries are layers.
    entries = [entry for entry in manifest.manifests[:_MOST_MANIFESTS] if entry.media_type in MANIFESTS | INDEXES]
    loose = [entry for entry in manifest.manifests if entry.media_type not in MANIFESTS | INDEXES]
    parts = [client.manifest(ImageReference(repository, entry.digest)) for entry in entries]
    images = [one for one in (manifest, *parts) if one.config and one.config.media_type in IMAGE_CONFIGS]
    configs = [_config(client, repository, one) for one in images]
    reference = ImageReference(repository, manifest.descriptor.digest)
    everything = [manifest, *parts]
    return Stored(
        reference=reference,
        tags=tags,
        platforms=tuple(dict.fromkeys(config.platform for config in configs)),
        spec_digest=_spec_digest(configs),
        created=_latest([config.created for config in configs], listed.entries),
        parts=tuple(part.descriptor.digest for part in parts),
        blobs=_unique([*loose, *(blob for one in everything for blob in _blobs_of(one))]),
        attached=listed.entries,
        unlisted=listed.unlisted,
    )


def _blobs_of(manifest: Manifest) -> tuple[Descriptor, ...]:
    return (*manifest.layers, *((manifest.config,) if manifest.config else ()))


def _config(client: RegistryClient, repository: Repository, manifest: Manifest) -> ImageConfig:
    assert manifest.config is not None  # noqa: S101 - for mypy; the caller has looked
    body = client.blob(repository, manifest.config)
    return decode_config(body, f"the configuration of {repository}@{manifest.config.digest}")


def _spec_digest(configs: Sequence[ImageConfig]) -> Digest | None:
    """What all the platforms say; an index whose images were built from different specs is not ours."""
    said = {dict(config.labels).get(SPEC_DIGEST, "") for config in configs}
    try:
        return Digest.parse(said.pop()) if len(said) == 1 else None
    except InvalidName:
        return None


def _latest(created: Sequence[str], attached: Sequence[Descriptor]) -> datetime | None:
    said = [*created, *(dict(one.annotations).get(CREATED, "") for one in attached)]
    known = [moment for moment in map(parse_moment, said) if moment is not None and moment >= _EARLIEST]
    return max(known, default=None)


def _unique(blobs: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    return tuple({blob.digest: blob for blob in blobs}.values())


def _newest_first(image: Stored) -> tuple[float, str]:
    return (-image.created.timestamp() if image.created else 0.0, str(image.reference))
