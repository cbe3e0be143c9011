"""Files in registries: attached to an image, or on their own (OCI image-spec 1.1, "Guidelines for Artifact Usage").

The `oras` package packs: media types, titles, the shape of the manifest. Every request is our own client's: our
credentials, limits, digests, redirect rules. Taking out is ours alone, files by digest under plain names: `oras` is
slow to import, and nobody who only reads waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.documents import Manifest
from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.names import ImageName, ImageReference, Repository
from flyte_build.registry.parallel import in_parallel
from flyte_build.registry.progress import Progress, silent
from flyte_build.registry.referrers import Referrers

__all__ = [
    "INSTALLED_TYPE",
    "LOG_TYPE",
    "PLAN_TYPE",
    "PREDICATE_KEY",
    "SBOM_TYPE",
    "STATEMENT_TYPE",
    "Artifact",
    "ArtifactFile",
    "Taking",
    "artifact_in",
    "attach",
    "attach_all",
    "fetch_artifact",
    "push_artifact",
]
PLAN_TYPE = "application/vnd.flyte-build.plan.v1+json"
LOG_TYPE = "application/vnd.flyte-build.log.v1"
INSTALLED_TYPE = "application/vnd.flyte-build.installed.v1+json"
# What others look for: IANA's media types of CycloneDX and in-toto, and BuildKit's name of a statement's kind.
SBOM_TYPE = "application/vnd.cyclonedx+json"
STATEMENT_TYPE = "application/vnd.in-toto+json"
PREDICATE_KEY = "in-toto.io/predicate-type"

_FOLDER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFile:
    """A file of an artifact; `title` is the name that it will have when it is taken out again."""

    path: Path
    title: str
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Files with a type (`application/vnd…`) and annotations."""

    artifact_type: str
    files: Sequence[ArtifactFile]
    annotations: Mapping[str, str] = field(default_factory=dict)


def artifact_in(folder: Path, kind: str, title: str, content: bytes, annotations: Mapping[str, str]) -> Artifact:
    """An artifact of one file of its own type, which is written into `folder` under its title."""
    path = folder / title
    path.write_bytes(content)
    file = ArtifactFile(path=path, title=title, media_type=kind)
    return Artifact(artifact_type=kind, files=(file,), annotations=annotations)


def attach(client: RegistryClient, image: ImageReference, artifact: Artifact) -> ImageReference:
    """As `attach_all`, for one artifact."""
    return attach_all(client, image, (artifact,))[0]


def attach_all(
    client: RegistryClient, image: ImageReference, artifacts: Sequence[Artifact]
) -> tuple[ImageReference, ...]:
    """Stores artifacts as referrers of the image; the same artifact again is the same referrer.

    Raises RegistryMissing when the image is not there, and what pushing raises.
    """
    from flyte_build.registry.packing import Wire

    subject = client.manifest(image).descriptor

    def packed(artifact: Artifact) -> bytes:
        wire = Wire(client, image.repository, artifact, subject)
        wire.send()
        return wire.packed

    bodies = in_parallel(packed, artifacts, client.api.options.parallel)
    return Referrers(client.api, client.manifests).attach_all(image, bodies)


def push_artifact(
    client: RegistryClient, repository: Repository, artifact: Artifact, tag: str, progress: Progress = silent
) -> ImageReference:
    """Stores the artifact under a tag; raises what pushing raises."""
    from flyte_build.registry.packing import Wire

    wire = Wire(client, repository, artifact, None, tag)
    wire.progress = progress
    wire.send()
    return wire.stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """How an artifact is taken: at most `limit` bytes (None: any size), and who hears of it."""

    limit: int | None = None
    progress: Progress = silent


_TAKING = Taking()


def fetch_artifact(
    client: RegistryClient, name: ImageName, folder: Path, artifact_type: str = "", taking: Taking = _TAKING
) -> tuple[Path, ...]:
    """Takes an artifact's files to `folder`, verified; raises RegistryMissing when it is not there, RegistryProtocol
    for one of another type, one that is too large, or one whose titles lead out of the folder.
    """
    manifest = client.manifest(name)
    if artifact_type and manifest.artifact_type != artifact_type:
        raise RegistryProtocol(f"{name} is {manifest.artifact_type or 'no artifact'}, not {artifact_type}")
    size = sum(layer.size for layer in manifest.layers)
    if taking.limit is not None and size > taking.limit:
        raise RegistryProtocol(f"{name} is {size:,} bytes, more than the {taking.limit:,} that are accepted")
    titles = _titles(manifest, name)
    files = tuple(folder / title for title in titles)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for layer, file in zip(manifest.layers, files, strict=True):
            client.blobs.fetch(name.repository, layer, file, taking.progress)
    except (OSError, ValueError) as error:
        raise RegistryProtocol(f"{name} holds files that cannot be written to {folder}: {error}") from error
    return files


def _titles(manifest: Manifest, name: ImageName) -> list[str]:
    """The files' names, each a plain one of its own."""
    titles = [dict(layer.annotations).get(_TITLE, "") for layer in manifest.layers]
    plain = [Path(title).name for title in titles]
    # Whoever marked an archive as a folder wants it unpacked, with all that an archive may do.
    folders = any(layer.media_type == _FOLDER_TYPE for layer in manifest.layers)
    if plain != titles or len(set(titles)) != len(titles) or {"", ".."} & set(titles) or folders:
        raise RegistryProtocol(f"{name.repository}@{manifest.descriptor.digest} is not a plain list of files")
    return titles
