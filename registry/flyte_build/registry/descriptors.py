"""Platforms, descriptors and media types (OCI image-spec 1.1: descriptor.md, media-types.md, image-index.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flyte_build.registry.errors import InvalidName
from flyte_build.registry.names import Digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})

_PART = re.compile(r"[a-z0-9_.-]+")
# What people write for an architecture -> (GOARCH, variant), as containerd's `platforms.Normalize` has it.
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "arm": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """`os/architecture[/variant]` with Go's names: `linux/amd64`, `linux/arm/v7`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Common spellings are folded (`linux/x86_64`, `linux/arm64/v8`); raises InvalidName for anything else."""
        parts = text.strip().lower().split("/")
        if len(parts) not in (2, 3) or not all(_PART.fullmatch(part) for part in parts):
            raise InvalidName(f"{text!r} is not a platform", hint="write it like linux/amd64 or linux/arm64")
        architecture, variant = _ARCHITECTURES.get(parts[1], (parts[1], ""))
        variant = parts[2] if len(parts) == 3 else variant
        variant = f"v{variant}" if variant.isdecimal() else variant
        if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
            variant = ""
        return cls(parts[0], architecture, variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """What a registry calls a piece of content: type, digest, size in bytes, and for a manifest its platform.

    `artifact_type` and `annotations` (sorted pairs) are what an index says of an artifact that it lists.
    """

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_index(self) -> bool:
        """Whether what it names lists manifests instead of layers."""
        return self.media_type in INDEXES
