"""An OCI image layout on disk as something that can be pushed (OCI image-spec 1.1, image-layout.md)."""

from __future__ import annotations

from pathlib import Path

from flyte_build.registry.blob import Blob
from flyte_build.registry.descriptors import INDEXES, MANIFESTS, OCI_INDEX, Descriptor
from flyte_build.registry.documents import Manifest, decode_manifest
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.transfer import Package
from flyte_build.registry.verify import MANIFEST_LIMIT, digest_of

_DEPTH = 4


def read_layout(folder: Path) -> Package:
    """The one image or index that `index.json` names, with everything below it. Blobs are not read yet.

    Raises InvalidInput for a folder that is none, or whose manifests are missing or damaged.
    """
    body = _read(folder / "index.json", folder)
    top = decode_manifest(body, OCI_INDEX, digest_of(body), f"{folder}/index.json")
    if len(top.manifests) != 1:
        raise InvalidInput(
            f"{folder} holds {len(top.manifests)} images, and one is pushed at a time",
            hint="write one image or one index into a layout",
        )
    manifests: list[tuple[Descriptor, bytes]] = []
    blobs: dict[str, Blob] = {}
    _walk(folder, top.manifests[0], manifests, blobs, _DEPTH)
    return Package(blobs=tuple(blobs.values()), manifests=tuple(manifests))


def _walk(
    folder: Path, entry: Descriptor, manifests: list[tuple[Descriptor, bytes]], blobs: dict[str, Blob], depth: int
) -> None:
    if depth == 0 or entry.media_type not in INDEXES | MANIFESTS:
        raise InvalidInput(f"{folder} holds {entry.digest}, which is no image ({entry.media_type or 'of no type'})")
    manifest = _manifest(folder, entry)
    for inner in manifest.manifests:
        _walk(folder, inner, manifests, blobs, depth - 1)
    for blob in (*manifest.layers, *((manifest.config,) if manifest.config else ())):
        blobs[str(blob.digest)] = Blob.of_file(_path(folder, blob), blob)
    manifests.append((manifest.descriptor, manifest.body))


def _manifest(folder: Path, entry: Descriptor) -> Manifest:
    body = _read(_path(folder, entry), folder)
    if digest_of(body, entry.digest.algorithm) != entry.digest:
        raise InvalidInput(f"{folder} holds other content than {entry.digest} under that name")
    return decode_manifest(body, entry.media_type, entry.digest, f"{folder}: {entry.digest}")


def _path(folder: Path, descriptor: Descriptor) -> Path:
    return folder / "blobs" / descriptor.digest.algorithm / descriptor.digest.hex


def _read(path: Path, folder: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(MANIFEST_LIMIT + 1)
    except OSError as error:
        raise InvalidInput(f"{folder} is no image layout: cannot read {path.name}") from error
    if len(body) > MANIFEST_LIMIT:
        raise InvalidInput(f"{path} is larger than {MANIFEST_LIMIT:,} bytes")
    return body
