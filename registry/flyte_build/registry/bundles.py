"""Code bundles in a registry, for places without object storage: `oci://host/repository@sha256:…`."""

from __future__ import annotations

from pathlib import Path

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import InvalidName
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository

SCHEME = "oci://"
BUNDLE_TYPE = "application/vnd.flyte-build.bundle.v1"
_TYPES = {".pkl.gz": "application/vnd.flyte-build.pickle.v1+gzip"}
_ARCHIVE = "application/vnd.flyte-build.archive.v1+gzip"


def parse_store(text: str) -> Repository:
    """`oci://host/repository`; raises InvalidName for anything else."""
    if not text.startswith(SCHEME):
        raise InvalidName(f"{text!r} is no store in a registry", hint=f"write it like {SCHEME}ghcr.io/acme/bundles")
    return Repository.parse(text.removeprefix(SCHEME))


def parse_bundle(text: str) -> ImageReference:
    """`oci://host/repository@sha256:…`, as `push_bundle`'s answer is written; raises InvalidName."""
    parse_store(text.partition("@")[0])
    return ImageReference.parse(text.removeprefix(SCHEME))


def push_bundle(client: RegistryClient, store: Repository, archive: Path, identity: Digest) -> ImageReference:
    """Stores an archive under the first 40 hex digits of the digest that it is known by; `oci://` before the answer
    is where it is. The same archive again sends nothing. Raises what pushing raises.
    """
    from flyte_build.registry.artifacts import Artifact, ArtifactFile, push_artifact

    suffix = "".join(archive.suffixes[-2:])
    file = ArtifactFile(path=archive, title=f"bundle{suffix or '.bin'}", media_type=_TYPES.get(suffix, _ARCHIVE))
    named = {"build.flyte.bundle-digest": str(identity)}
    artifact = Artifact(artifact_type=BUNDLE_TYPE, files=(file,), annotations=named)
    return push_artifact(client, store, artifact, identity.hex[:40])


def fetch_bundle(client: RegistryClient, reference: ImageReference, folder: Path) -> Path:
    """Takes the archive to `folder`, verified against the reference; raises RegistryMissing when it is not there."""
    from flyte_build.registry.artifacts import fetch_artifact

    name = ImageName(reference.repository, digest=reference.digest)
    (path,) = fetch_artifact(client, name, folder, BUNDLE_TYPE)
    return path
