"""Bills of materials: valid by CycloneDX's own schema, complete, and read as they were written."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from hypothesis import given
from hypothesis import strategies as st
from tests.builder.doubles import AMD64, ARM64

from flyte_build.builder.installed import Installed, Package, package_url
from flyte_build.builder.loose import format_json
from flyte_build.builder.sbom import (
    Listed,
    Maker,
    count_packages,
    digest_said,
    installed_said,
    parse_sbom,
    sbom_of,
    sbom_of_index,
)
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageReference

MAKER = Maker(version="0.1.0", at="2026-11-29T12:00:00Z")
IMAGE = ImageReference.parse(f"ghcr.io/acme/train@sha256:{'a' * 64}")
INDEX = ImageReference.parse(f"ghcr.io/acme/train@sha256:{'b' * 64}")


def pypi(name: str, version: str, place: str) -> Package:
    return Package(kind="pypi", name=name, version=version, purl=package_url("pypi", name, version, {}), place=place)


LIBC = Package(
    kind="deb",
    name="libc6",
    version="2.36-9",
    purl=package_url("deb/debian", "libc6", "2.36-9", {"arch": "amd64", "distro": "debian-12"}),
)
INSTALLED = Installed(
    platform=AMD64,
    distribution="debian-12",
    packages=tuple(sorted((LIBC, pypi("six", "1.16.0", "/opt/venv"), pypi("six", "1.16.0", "/usr")))),
)
LISTED = Listed(image=IMAGE, installed=INSTALLED)


VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def require_valid(content: bytes) -> None:
    """Valid by the schema that CycloneDX publishes, with nothing that it does not know."""
    error = VALIDATOR.validate_str(content.decode())
    assert error is None, error


def test_the_bill_of_a_manifest_is_valid_and_says_what_it_is_about() -> None:
    document = sbom_of(LISTED, MAKER)
    require_valid(format_json(document))
    read = parse_sbom(format_json(document))
    assert digest_said(read) == IMAGE.digest.hex
    assert count_packages(read) == 3
    purls = [one["purl"] for one in json.loads(format_json(document))["components"] if one["type"] == "library"]
    assert sorted(purls) == sorted(package.purl for package in INSTALLED.packages)


def test_the_bill_of_an_index_has_every_manifest_with_what_is_in_it() -> None:
    other = Listed(image=replace(IMAGE, digest=INDEX.digest), installed=replace(INSTALLED, platform=ARM64))
    document = sbom_of_index(INDEX, [LISTED, other], MAKER)
    require_valid(format_json(document))
    assert count_packages(document) == 6
    inside = json.loads(format_json(document))["components"]
    assert [one["type"] for one in inside] == ["container", "container"]
    assert inside[0]["purl"].startswith(
        f"pkg:oci/train@{IMAGE.digest}?arch=amd64&repository_url=ghcr.io%2Facme%2Ftrain"
    )


@pytest.mark.parametrize("distribution", ["", "debian-12", "ubuntu-core-22"])
def test_an_image_without_packages_or_distribution_has_one_too(distribution: str) -> None:
    bare = Installed(platform=AMD64, distribution=distribution)
    document = sbom_of(Listed(image=IMAGE, installed=bare), MAKER)
    require_valid(format_json(document))
    assert installed_said(document) == bare


NAMES = st.from_regex(r"[a-z0-9][a-z0-9.+-]{0,12}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9][0-9a-z.!+~:-]{0,12}", fullmatch=True)
PACKAGES = st.builds(pypi, NAMES, VERSIONS, st.sampled_from(["", "/opt/venv", "/usr"]))


@given(st.frozensets(PACKAGES, max_size=5))
def test_what_is_written_is_read_again_and_always_valid(packages: frozenset[Package]) -> None:
    installed = Installed(platform=AMD64, distribution="debian-12", packages=tuple(sorted(packages)))
    content = format_json(sbom_of(Listed(image=IMAGE, installed=installed), MAKER))
    require_valid(content)
    assert installed_said(parse_sbom(content)) == installed


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"bomFormat": "SPDX"}', "not JSON"])
def test_what_is_no_bill_of_materials_is_an_error_and_no_traceback(content: str) -> None:
    with pytest.raises(InvalidInput):
        parse_sbom(content)


@pytest.mark.parametrize(
    "metadata", [None, [], {"component": 3}, {"component": {"hashes": {"alg": 1}, "properties": 4}}]
)
def test_a_hostile_document_says_nothing(metadata: object) -> None:
    document = {"bomFormat": "CycloneDX", "metadata": metadata, "components": ["x", {"type": "library"}, 3]}
    assert digest_said(document) == ""
    assert count_packages(document) == 1
    with pytest.raises(InvalidInput):
        installed_said(document)
