"""Bundles in a registry: an OCI artifact under a tag that is the bundle's digest, and the way back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.receive import extract
from flyte_build.bundler.upload import Location, Parcel
from flyte_build.registry.artifacts import Artifact, ArtifactFile, Taking, fetch_artifact, push_artifact
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import ArchiveError, InvalidInput
from flyte_build.registry.names import Digest, ImageName, Repository
from flyte_build.registry.progress import counted

BUNDLE_TYPE = "application/vnd.flyte-build.bundle.v1"
DIGEST_ANNOTATION = "io.flyte-build.bundle.digest"
_MEDIA = {
    "tgz": "application/vnd.flyte-build.bundle.v1.tar+gzip",
    "pkl": "application/vnd.flyte-build.bundle.v1.pickle",
}
_SCHEME = "oci://"
_TAKING = Taking()


def nobody(count: int) -> None:
    """For when nobody looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryUploads:
    """An uploader to a repository of a registry. URIs are `oci://host/path@sha256:…`, pinned. `sent` hears how many
    bytes went out, as they go.
    """

    client: RegistryClient
    repository: Repository
    sent: Callable[[int], None] = nobody

    def locate(self, parcel: Parcel) -> Location:
        """Whether this bundle is there. Raises RegistryError when the registry cannot say."""
        found = self.client.manifests.find(ImageName(self.repository, parcel.digest.hex))
        if found is None or dict(found.annotations).get(DIGEST_ANNOTATION) != str(parcel.digest):
            return Location(uri=f"{_SCHEME}{self.repository}:{parcel.digest.hex}")
        return Location(uri=f"{_SCHEME}{self.repository}@{found.descriptor.digest}", exists=True)

    def put(self, parcel: Parcel, archive: Path, location: Location) -> str:
        """Push it; the URI. Raises RegistryError."""
        del location
        file = ArtifactFile(path=archive, title=parcel.filename, media_type=_MEDIA[parcel.kind])
        artifact = Artifact(
            artifact_type=BUNDLE_TYPE, files=(file,), annotations={DIGEST_ANNOTATION: str(parcel.digest)}
        )
        pushed = push_artifact(self.client, self.repository, artifact, parcel.digest.hex, counted(self.sent))
        return f"{_SCHEME}{pushed}"


def repository_of(uri: str) -> Repository:
    """The repository of `oci://host/path`. Raises InvalidInput for anything else."""
    if not uri.startswith(_SCHEME):
        raise InvalidInput(f"{uri[:200]!r} is not a place for bundles", hint="write it like oci://ghcr.io/acme/bundles")
    return Repository.parse(uri.removeprefix(_SCHEME))


def fetch_from_registry(client: RegistryClient, uri: str, destination: Path, taking: Taking = _TAKING) -> None:
    """Write the archive of the bundle at `uri` (`oci://host/path@sha256:…` or `:tag`) to `destination`.

    Raises RegistryError when it cannot be had, ArchiveError when it is no bundle.
    """
    folder = destination.with_name(f"{destination.name}.files")
    try:
        files = fetch_artifact(client, name_of(uri), folder, BUNDLE_TYPE, taking)
        if len(files) != 1:
            raise ArchiveError(f"{uri} holds {len(files)} files, so it is no bundle")
        files[0].replace(destination)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def from_registry(uri: str, destination: Path, limit: int) -> None:
    """As `fetch_from_registry`, with a client of its own and at most `limit` bytes."""
    fetch_from_registry(RegistryClient(), uri, destination, Taking(limit=limit))


def receive_from_registry(
    client: RegistryClient, uri: str, destination: Path, sent: Callable[[int], None] = nobody
) -> Manifest:
    """Unpack the bundle at `uri` (`oci://host/path@sha256:…`) as the folder `destination`, which must not exist or be
    empty; its manifest. `sent` hears how many bytes came, as they come.

    Raises RegistryError when it cannot be had, ArchiveError when it is no bundle of files, damaged or hostile,
    InvalidInput for a URI that could mean another bundle tomorrow; then nothing stays behind.
    """
    name = name_of(uri)
    if name.digest is None:
        raise InvalidInput(f"{uri[:200]} names no digest", hint="write it as `flyte-build bundle` printed it")
    if destination.is_dir() and any(destination.iterdir()):
        raise InvalidInput(f"{destination} is not empty", hint="name a folder that is empty or not there yet")
    found = client.manifest(name)
    said = dict(found.annotations).get(DIGEST_ANNOTATION, "")
    if not said or [layer.media_type for layer in found.layers] != [_MEDIA["tgz"]]:
        hint = (
            "a pickle is for a task's container, which loads it" if said else "give what `flyte-build bundle` printed"
        )
        raise ArchiveError(f"{uri} is no bundle of files", hint=hint)
    limits = ExtractLimits()
    taking = Taking(limit=limits.archive_bytes, progress=counted(sent))
    with tempfile.TemporaryDirectory(prefix="flyte-build-bundle-") as folder:
        archive = Path(folder, "archive")
        fetch_from_registry(client, uri, archive, taking)
        return extract(archive, destination, limits=limits, expected=Digest.parse(said))


def name_of(uri: str) -> ImageName:
    if not uri.startswith(_SCHEME):
        raise InvalidInput(f"{uri[:200]!r} is no bundle in a registry", hint="write it like oci://HOST/PATH@sha256:…")
    return ImageName.parse(uri.removeprefix(_SCHEME))
