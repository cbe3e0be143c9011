"""A bill of materials of an image: CycloneDX 1.6 in JSON (ECMA-424), made of what is really installed. Pure.

A manifest has one of its own. The index of several has one too, with the manifests as components that have components:
who scans an image by its tag looks for what is attached to the index, and at one document only.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyte_build.builder.installed import Installed, Package, package_url
from flyte_build.builder.loose import Json, table, tables
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageReference

SPEC_VERSION = "1.6"
# Names of properties are ours below a prefix, as CycloneDX's property taxonomy wants it.
_PLATFORM, _DISTRIBUTION, _PLACE = ("flyte-build:platform", "flyte-build:distribution", "flyte-build:place")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What is installed in one manifest."""

    image: ImageReference
    installed: Installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Who makes a document, and when (RFC 3339). `version` is flyte-build's."""

    version: str
    at: str


def sbom_of(one: Listed, maker: Maker) -> Json:
    """The document about one manifest."""
    parts = _parts(one)
    return _document(_container(one), parts, maker, one.image)


def sbom_of_index(image: ImageReference, listed: Sequence[Listed], maker: Maker) -> Json:
    """The document about an index: every manifest, and in it what is installed there."""
    manifests: list[Json] = [{**_container(one), "components": _parts(one)} for one in listed]
    return _document(_subject(image, {}), manifests, maker, image)


def parse_sbom(content: bytes | str) -> Json:
    """A document in JSON that says it is CycloneDX; InvalidInput for anything else."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise InvalidInput("this is no bill of materials: it is not JSON") from error
    if not isinstance(document, dict) or document.get("bomFormat") != "CycloneDX":
        raise InvalidInput("this is no bill of materials: it does not say that it is CycloneDX")
    return document


def digest_said(document: Mapping[str, object]) -> str:
    """The sha256 (hex) of the image that a document says it is about; empty when it says none."""
    hashes = table(table(document.get("metadata")).get("component")).get("hashes")
    said = (one.get("content", "") for one in tables(hashes) if one.get("alg") == "SHA-256")
    return str(next(said, ""))


def installed_said(document: Mapping[str, object]) -> Installed:
    """The inverse of `sbom_of`: InvalidInput for a document that says no platform."""
    about = _properties(table(table(document.get("metadata")).get("component")))
    packages = [
        Package(
            kind=str(one["purl"]).removeprefix("pkg:").partition("/")[0],
            name=str(one.get("name", "")),
            version=str(one.get("version", "")),
            purl=str(one["purl"]),
            place=_properties(one).get(_PLACE, ""),
        )
        for one in tables(document.get("components"))
        if one.get("type") == "library" and "purl" in one
    ]
    return Installed(
        platform=Platform.parse(about.get(_PLATFORM, "")),
        distribution=about.get(_DISTRIBUTION, ""),
        packages=tuple(sorted(packages)),
    )


def count_packages(document: Mapping[str, object]) -> int:
    """How many packages it lists, those of components of components too."""
    parts = tables(document.get("components"))
    return sum((one.get("type") == "library") + count_packages(one) for one in parts)


def _document(subject: Json, parts: Sequence[Json], maker: Maker, image: ImageReference) -> Json:
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{image} {maker.at}')}",
        "version": 1,
        "metadata": {
            "timestamp": maker.at,
            "tools": {"components": [{"type": "application", "name": "flyte-build", "version": maker.version}]},
            "component": subject,
        },
        "components": list(parts),
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _container(one: Listed) -> Json:
    said = {_PLATFORM: str(one.installed.platform), _DISTRIBUTION: one.installed.distribution}
    return _subject(one.image, said, one.installed.platform.architecture)


def _subject(image: ImageReference, said: Mapping[str, str], architecture: str = "") -> Json:
    purl = image_purl(image, architecture)
    found: Json = {
        "type": "container",
        "bom-ref": purl,
        "name": str(image.repository),
        "version": str(image.digest),
        "purl": purl,
        "hashes": [
            {"alg": "SHA-256" if image.digest.algorithm == "sha256" else "SHA-512", "content": image.digest.hex}
        ],
    }
    return found | _with_properties(said)


def image_purl(image: ImageReference, architecture: str = "") -> str:
    """purl-spec, type `oci`: the digest is the version, and where it lies a qualifier."""
    said = {"arch": architecture, "repository_url": str(image.repository)}
    return package_url("oci", image.repository.name, str(image.digest), said)


def _parts(one: Listed) -> list[Json]:
    name, _, version = one.installed.distribution.rpartition("-")
    system: Json = {"type": "operating-system", "name": name, "version": version}
    system["bom-ref"] = f"{one.installed.platform}/{one.installed.distribution}"
    return [
        *([system] if name else []),
        *(_library(package, one.installed.platform) for package in one.installed.packages),
    ]


def _library(package: Package, platform: Platform) -> Json:
    # The same package may be in two environments, and in an index for two platforms.
    found: Json = {"type": "library", "bom-ref": f"{platform}{package.place}/{package.purl}"}
    found |= {"name": package.name, "version": package.version, "purl": package.purl}
    return found | _with_properties({_PLACE: package.place})


def _with_properties(said: Mapping[str, str]) -> Json:
    given = [{"name": name, "value": value} for name, value in said.items() if value]
    return {"properties": given} if given else {}


def _properties(component: Mapping[str, object]) -> dict[str, str]:
    found = tables(component.get("properties"))
    return {str(one.get("name", "")): str(one.get("value", "")) for one in found}
