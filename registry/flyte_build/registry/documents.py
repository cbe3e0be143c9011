"""Manifests, indexes and image configurations, decoded (OCI image-spec 1.1: manifest.md, image-index.md, config.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from flyte_build.registry.descriptors import INDEXES, MANIFESTS, OCI_INDEX, OCI_MANIFEST, Descriptor, Platform
from flyte_build.registry.errors import InvalidName, RegistryProtocol
from flyte_build.registry.names import Digest
from flyte_build.registry.redact import plain

IMAGE_CONFIGS = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest or an index, and the bytes that its digest is of.

    An index has `manifests` (platform None where it names none); a manifest has `layers` and a `config`. `subject` is
    what it is attached to, `artifact_type` what it then is (an artifact that states none is what its config is).
    """

    descriptor: Descriptor
    body: bytes = field(repr=False)
    manifests: tuple[Descriptor, ...] = ()
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    annotations: Pairs = ()
    artifact_type: str = ""
    subject: Descriptor | None = None

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests instead of layers."""
        return self.descriptor.is_index


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """What a container of the image starts with. `env` and `labels` are (name, value) pairs, `env` in its order.

    `created` is RFC 3339 text, as the builder wrote it.
    """

    platform: Platform
    env: Pairs = ()
    labels: Pairs = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    created: str = ""

    def variable(self, name: str) -> str | None:
        """The value of an environment variable, None when the image does not set it."""
        return dict(self.env).get(name)


def decode_manifest(body: bytes, content_type: str, digest: Digest, subject: str) -> Manifest:
    """`content_type` is the header's; raises RegistryProtocol for what is not a manifest or an index."""
    document = _object(body, subject)
    media_type = _media_type(document, content_type, subject)
    config, about = document.get("config"), document.get("subject")
    artifact_type = document.get("artifactType")
    return Manifest(
        descriptor=Descriptor(media_type=media_type, digest=digest, size=len(body)),
        body=body,
        manifests=_descriptors(document.get("manifests"), subject) if media_type in INDEXES else (),
        config=_descriptor(config, subject) if config is not None and media_type in MANIFESTS else None,
        layers=_descriptors(document.get("layers"), subject) if media_type in MANIFESTS else (),
        annotations=_pairs(document.get("annotations")),
        artifact_type=artifact_type if isinstance(artifact_type, str) else "",
        subject=_descriptor(about, subject) if about is not None else None,
    )


def decode_config(body: bytes, subject: str) -> ImageConfig:
    """Raises RegistryProtocol for what is not an image configuration."""
    document = _object(body, subject)
    platform = _platform(document)
    if platform is None:
        raise RegistryProtocol(f"{subject} does not say for which platform it is")
    raw = document.get("config")
    inner: Mapping[str, object] = raw if isinstance(raw, dict) else {}
    return ImageConfig(
        platform=platform,
        env=tuple((name, value) for name, _, value in (text.partition("=") for text in _texts(inner.get("Env")))),
        labels=_pairs(inner.get("Labels")),
        entrypoint=_texts(inner.get("Entrypoint")),
        command=_texts(inner.get("Cmd")),
        user=str(inner.get("User") or ""),
        workdir=str(inner.get("WorkingDir") or ""),
        created=str(document.get("created") or ""),
    )


def _object(body: bytes, subject: str) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RegistryProtocol(
            f"{subject} is not JSON", hint="a login page or a proxy may be in the way of the registry"
        ) from error
    if not isinstance(document, dict):
        raise RegistryProtocol(f"{subject} is not a JSON object")
    return document


def _media_type(document: Mapping[str, object], content_type: str, subject: str) -> str:
    """One answer to "what is this?": a document that can be read as two things is an attack (CVE-2021-41190)."""
    header = content_type.partition(";")[0].strip().lower()
    inside = document.get("mediaType")
    known = [one for one in (inside, header) if isinstance(one, str) and one in INDEXES | MANIFESTS]
    is_index, is_manifest = "manifests" in document, "layers" in document or "config" in document
    if document.get("schemaVersion") != 2 or is_index == is_manifest or len(set(known)) > 1:
        old = document.get("schemaVersion") == 1
        raise RegistryProtocol(
            f"{subject} is not an OCI or Docker manifest or index (it is {plain(header, 80) or 'of no stated type'})",
            hint="it is in Docker's old schema 1 format: push it again with a newer tool" if old else "",
        )
    media_type = known[0] if known else OCI_INDEX if is_index else OCI_MANIFEST
    if (media_type in INDEXES) != is_index:
        raise RegistryProtocol(f"{subject} says that it is {media_type}, and is not")
    return media_type


def _descriptors(value: object, subject: str) -> tuple[Descriptor, ...]:
    if not isinstance(value, list):
        raise RegistryProtocol(f"{subject} holds no list of descriptors")
    return tuple(_descriptor(entry, subject) for entry in value)


def _descriptor(value: object, subject: str) -> Descriptor:
    entry = value if isinstance(value, dict) else {}
    media_type, digest, size = entry.get("mediaType"), entry.get("digest"), entry.get("size")
    if not isinstance(media_type, str) or not isinstance(digest, str) or type(size) is not int or size < 0:
        raise RegistryProtocol(f"{subject} holds a descriptor without mediaType, digest or size")
    platform = entry.get("platform")
    try:
        parsed = Digest.parse(digest)
    except InvalidName as error:
        raise RegistryProtocol(f"{subject} holds a descriptor whose digest is not one: {plain(digest, 80)}") from error
    return Descriptor(
        media_type=media_type,
        digest=parsed,
        size=size,
        platform=_platform(platform) if isinstance(platform, dict) else None,
        artifact_type=str(entry.get("artifactType") or ""),
        annotations=_pairs(entry.get("annotations")),
    )


def _platform(entry: Mapping[str, object]) -> Platform | None:
    parts = [entry.get("os"), entry.get("architecture"), entry.get("variant") or None]
    if not all(isinstance(part, str) for part in parts[:2]):
        return None
    try:
        return Platform.parse("/".join(str(part) for part in parts if part is not None))
    except InvalidName:
        return None


def _pairs(value: object) -> Pairs:
    entries = value.items() if isinstance(value, dict) else ()
    return tuple(sorted((str(name), text) for name, text in entries if isinstance(text, str)))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
