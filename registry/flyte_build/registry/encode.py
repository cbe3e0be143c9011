"""Manifests and indexes of our own, as bytes (OCI image-spec 1.1). The same values give the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from flyte_build.registry.descriptors import OCI_INDEX, OCI_MANIFEST, Descriptor

EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY = b"{}"


def encode_index(manifests: Iterable[Descriptor], annotations: Mapping[str, str] | None = None) -> bytes:
    """An index that lists these, in this order."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [describe(one) for one in manifests],
    }
    return _encode(document, annotations)


def extend_index(index: bytes, entry: Descriptor) -> bytes:
    """The index (none: an empty one) with one more entry. What others wrote into it stays as it is."""
    document = json.loads(index or encode_index(()))
    document["manifests"] = [*document["manifests"], describe(entry)]
    return _encode(document, None)


def encode_manifest(
    config: Descriptor,
    layers: Iterable[Descriptor],
    *,
    artifact_type: str = "",
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> bytes:
    """A manifest of an image, or of an artifact where `artifact_type` says of which."""
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": describe(config),
        "layers": [describe(layer) for layer in layers],
    }
    if artifact_type:
        document["artifactType"] = artifact_type
    if subject is not None:
        about = Descriptor(media_type=subject.media_type, digest=subject.digest, size=subject.size)
        document["subject"] = describe(about)
    return _encode(document, annotations)


def describe(descriptor: Descriptor) -> dict[str, object]:
    """A descriptor as JSON (OCI image-spec, descriptor.md)."""
    document: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
    }
    if descriptor.platform is not None:
        one = descriptor.platform
        document["platform"] = {
            "os": one.os,
            "architecture": one.architecture,
            **({"variant": one.variant} if one.variant else {}),
        }
    if descriptor.artifact_type:
        document["artifactType"] = descriptor.artifact_type
    if descriptor.annotations:
        document["annotations"] = dict(descriptor.annotations)
    return document


def _encode(document: dict[str, object], annotations: Mapping[str, str] | None) -> bytes:
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
