"""Images of a few bytes, made by hand."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from dataclasses import replace

from flyte_build.registry.blob import Blob
from flyte_build.registry.descriptors import OCI_INDEX, OCI_MANIFEST, Descriptor, Platform
from flyte_build.registry.encode import encode_index, encode_manifest
from flyte_build.registry.transfer import Package
from flyte_build.registry.verify import digest_of


def manifest_of(config: bytes, media_type: str = "application/vnd.oci.image.config.v1+json") -> bytes:
    """An image manifest without layers."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": media_type, "digest": str(digest_of(config)), "size": len(config)},
        "layers": [],
        "annotations": {"org.example.made": "by hand"},
    }
    return json.dumps(document).encode()


def config_of(architecture: str = "amd64", **config: object) -> bytes:
    """An image configuration for linux on `architecture`."""
    document = {
        "os": "linux",
        "architecture": architecture,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return json.dumps(document).encode()


def index_of(entries: dict[str, bytes]) -> bytes:
    """An index of manifests: platform as written -> the manifest's bytes."""
    manifests = []
    for platform, body in entries.items():
        os_name, _, rest = platform.partition("/")
        architecture, _, variant = rest.partition("/")
        described = {"os": os_name, "architecture": architecture, **({"variant": variant} if variant else {})}
        entry = {"mediaType": OCI_MANIFEST, "digest": str(digest_of(body)), "size": len(body), "platform": described}
        manifests.append(entry)
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


def layer_of(name: str, content: bytes) -> tuple[bytes, str]:
    """A layer with one file, and its diff id: the digest of the tar before it was compressed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), 1, mtime=0), str(digest_of(buffer.getvalue()))


def package_of(*contents: bytes, architecture: str = "amd64", **config: object) -> Package:
    """A whole image with a layer for each content, that others' clients find nothing wrong with."""
    layers = [layer_of(f"file{number}", content) for number, content in enumerate(contents)]
    document = json.loads(config_of(architecture, **config))
    document["rootfs"]["diff_ids"] = [diff_id for _, diff_id in layers]
    document["created"] = str(config.get("created", "2026-01-01T00:00:00Z"))
    settings = Blob.of_bytes(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json")
    blobs = [Blob.of_bytes(layer, "application/vnd.oci.image.layer.v1.tar+gzip") for layer, _ in layers]
    body = encode_manifest(settings.descriptor, [blob.descriptor for blob in blobs])
    top = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(body), size=len(body))
    return Package(blobs=(*blobs, settings), manifests=((top, body),))


def index_package(*packages: Package) -> Package:
    """One index of several images."""
    entries = []
    for package in packages:
        config = json.loads(b"".join(package.blobs[-1].open(0)))
        entries.append(replace(package.top, platform=Platform(config["os"], config["architecture"])))
    body = encode_index(entries)
    top = Descriptor(media_type=OCI_INDEX, digest=digest_of(body), size=len(body))
    return Package(
        blobs=[blob for package in packages for blob in package.blobs],
        manifests=[*(one for package in packages for one in package.manifests), (top, body)],
    )


def noise(size: int, seed: str = "") -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(f"{seed}{size}").randbytes(size)
