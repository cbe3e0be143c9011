"""An image as a registry has it, read with `crane`: its configuration, its layers, the files in them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any


def crane(*argv: str) -> bytes:
    """What `crane` prints."""
    return subprocess.run(("crane", *argv), capture_output=True, check=True, timeout=300).stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """`size` is in bytes, compressed, as it is pulled."""

    place: str
    digest: str
    size: int

    def tar(self) -> bytes:
        """Uncompressed."""
        return _tar(self.place, self.digest)


@cache  # layers that images have in common are read once
def _tar(place: str, digest: str) -> bytes:
    packed = crane("blob", f"{place}@{digest}")
    return subprocess.run(("gzip", "-dc"), input=packed, capture_output=True, check=True).stdout


@cache
def manifest(reference: str) -> dict[str, Any]:
    """Of linux/amd64."""
    found: dict[str, Any] = json.loads(crane("manifest", "--platform", "linux/amd64", reference))
    return found


@cache
def config(reference: str) -> dict[str, Any]:
    """The image's configuration, with its history."""
    found: dict[str, Any] = json.loads(crane("config", "--platform", "linux/amd64", reference))
    return found


def layers(reference: str, base: str) -> tuple[Layer, ...]:
    """Those that are not the base's."""
    theirs = {one["digest"] for one in manifest(base)["layers"]}
    place = reference.rpartition(":")[0]
    found = manifest(reference)["layers"]
    assert [one["digest"] for one in found[: len(theirs)]] == [one["digest"] for one in manifest(base)["layers"]]
    return tuple(Layer(place=place, digest=one["digest"], size=one["size"]) for one in found[len(theirs) :])


def members(layer: Layer) -> Iterator[tarfile.TarInfo]:
    """Everything in a layer, names without a leading slash."""
    with tarfile.open(fileobj=io.BytesIO(layer.tar())) as archive:
        yield from archive


def attestations(reference: str) -> list[dict[str, Any]]:
    """The in-toto statements beside the image."""
    index = json.loads(crane("manifest", reference))
    place = reference.rpartition(":")[0]
    found = []
    for entry in index["manifests"]:
        if entry["platform"]["os"] == "unknown":
            listed = json.loads(crane("manifest", f"{place}@{entry['digest']}"))
            found += [json.loads(crane("blob", f"{place}@{one['digest']}")) for one in listed["layers"]]
    return found
