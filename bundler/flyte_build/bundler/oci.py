"""Bundles in a registry: an OCI artifact under a tag that is the bundle's digest, and the way back.

Slow to import (`oras`), so nobody imports it who does not ask for `oci://`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.upload import Location, Parcel
from flyte_build.registry.artifacts import Artifact, ArtifactFile, fetch_artifact, push_artifact
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import ArchiveError, InvalidInput
from flyte_build.registry.names import ImageName, Repository

BUNDLE_TYPE = "application/vnd.flyte-build.bundle.v1"
DIGEST_ANNOTATION = "io.flyte-build.bundle.digest"
_MEDIA = {
    "tgz": "application/vnd.flyte-build.bundle.v1.tar+gzip",
    "pkl": "application/vnd.flyte-build.bundle.v1.pickle",
}
_SCHEME = "oci://"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryUploads:
    """An uploader to a repository of a registry. URIs are `oci://host/path@sha256:…`, pinned."""

    client: RegistryClient
    repository: Repository

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
        pushed = push_artifact(self.client, self.repository, artifact, parcel.digest.hex)
        return f"{_SCHEME}{pushed}"


def repository_of(uri: str) -> Repository:
    """The repository of `oci://host/path`. Raises InvalidInput for anything else."""
    if not uri.startswith(_SCHEME):
        raise InvalidInput(f"{uri[:200]!r} is not a place for bundles", hint="write it like oci://ghcr.io/acme/bundles")
    return Repository.parse(uri.removeprefix(_SCHEME))


def fetch_from_registry(client: RegistryClient, uri: str, destination: Path) -> None:
    """Write the archive of the bundle at `uri` (`oci://host/path@sha256:…` or `:tag`) to `destination`.

    Raises RegistryError when it cannot be had, ArchiveError when it is no bundle.
    """
    name = uri.removeprefix(_SCHEME)
    image = ImageName.parse(name)
    folder = destination.with_name(f"{destination.name}.files")
    files = fetch_artifact(client, image, folder, BUNDLE_TYPE)
    if len(files) != 1:
        raise ArchiveError(f"{uri} holds {len(files)} files, so it is no bundle")
    files[0].replace(destination)
    folder.rmdir()
