"""Manifests, indexes and configurations, and what only looks like one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.registry.images import config_of, index_of, manifest_of

from flyte_build.registry.descriptors import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Platform
from flyte_build.registry.documents import decode_config, decode_manifest
from flyte_build.registry.errors import RegistryProtocol
from flyte_build.registry.found import found
from flyte_build.registry.names import ImageName
from flyte_build.registry.verify import digest_of

CONFIG = config_of(Env=["PATH=/bin", "EMPTY=", "A=b=c"], Labels={"b": "2", "a": "1"}, User="flyte", Cmd=["sh"])
MANIFEST = manifest_of(CONFIG)
ENTRY = {"mediaType": OCI_MANIFEST, "digest": str(digest_of(b"")), "size": 0}


def decode(body: bytes, content_type: str = "") -> str:
    return decode_manifest(body, content_type, digest_of(body), "x").descriptor.media_type


def document(**fields: object) -> bytes:
    return json.dumps({"schemaVersion": 2, **fields}).encode()


def test_a_manifest_names_its_config_and_layers() -> None:
    manifest = decode_manifest(MANIFEST, OCI_MANIFEST, digest_of(MANIFEST), "x")
    assert manifest.config is not None
    assert manifest.config.digest == digest_of(CONFIG)
    assert (manifest.is_index, manifest.layers, manifest.annotations) == (False, (), (("org.example.made", "by hand"),))
    assert manifest.descriptor.size == len(MANIFEST)


def test_a_configuration_says_what_a_container_starts_with() -> None:
    config = decode_config(CONFIG, "x")
    assert config.env == (("PATH", "/bin"), ("EMPTY", ""), ("A", "b=c"))
    assert config.labels == (("a", "1"), ("b", "2"))
    assert (config.user, config.command, config.entrypoint, str(config.platform)) == (
        "flyte",
        ("sh",),
        (),
        "linux/amd64",
    )
    assert (config.variable("PATH"), config.variable("NONE")) == ("/bin", None)


def test_an_index_offers_platforms_without_attestations() -> None:
    body = index_of(
        {"linux/amd64": b"1", "linux/arm64/v8": b"2", "unknown/unknown": b"3", "windows/amd64": b"4", "linux/arm": b"5"}
    )
    image = found(ImageName.parse("ghcr.io/a/b:c"), decode_manifest(body, OCI_INDEX, digest_of(body), "x"), None)
    assert [str(platform) for platform in image.platforms] == [
        "linux/amd64",
        "linux/arm64",
        "windows/amd64",
        "linux/arm/v7",
    ]
    assert len(image.manifests) == 4
    assert str(image.reference) == f"ghcr.io/a/b@{digest_of(body)}"
    assert image.covers([Platform.parse("linux/aarch64"), Platform.parse("linux/amd64")])
    assert not image.covers([Platform.parse("linux/amd64"), Platform.parse("linux/riscv64")])


@pytest.mark.parametrize(
    ("body", "content_type", "media_type"),
    [
        pytest.param(MANIFEST, "", OCI_MANIFEST, id="only the document says it"),
        pytest.param(document(layers=[]), DOCKER_MANIFEST, DOCKER_MANIFEST, id="only the header says it"),
        pytest.param(document(layers=[]), f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST, id="a parameter is left out"),
        pytest.param(document(manifests=[]), "application/json", OCI_INDEX, id="nobody says it, its shape does"),
        pytest.param(document(manifests=[], mediaType=DOCKER_LIST), DOCKER_LIST, DOCKER_LIST, id="Docker's list"),
    ],
)
def test_the_type_is_what_header_document_and_shape_agree_on(body: bytes, content_type: str, media_type: str) -> None:
    assert decode(body, content_type) == media_type


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"<html>log in</html>", "text/html", id="a login page"),
        pytest.param(b"", OCI_MANIFEST, id="nothing"),
        pytest.param(b"[]", OCI_MANIFEST, id="a list"),
        pytest.param(b"[" * 100_000, OCI_MANIFEST, id="too deep"),
        pytest.param(document(), OCI_MANIFEST, id="neither manifest nor index"),
        pytest.param(document(layers=[], manifests=[]), OCI_INDEX, id="both"),
        pytest.param(MANIFEST, OCI_INDEX, id="the header says otherwise"),
        pytest.param(document(manifests=[]), OCI_MANIFEST, id="its shape is otherwise"),
        pytest.param(b'{"schemaVersion": 1, "fsLayers": []}', "", id="the old schema"),
        pytest.param(document(layers=[{"digest": "x"}]), "", id="a descriptor without fields"),
        pytest.param(document(layers=[{**ENTRY, "digest": "sha256:12"}]), "", id="a digest of the wrong length"),
        pytest.param(document(layers=[{**ENTRY, "size": -1}]), "", id="a negative size"),
        pytest.param(document(layers=[{**ENTRY, "size": True}]), "", id="a size that is no number"),
        pytest.param(document(layers=["x"]), "", id="a descriptor that is text"),
        pytest.param(document(layers={}), "", id="layers that are no list"),
    ],
)
def test_what_is_none_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(RegistryProtocol):
        decode(body, content_type)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.fixed_dictionaries(
    {"schemaVersion": st.just(2)},
    optional=dict.fromkeys(("mediaType", "manifests", "layers", "config", "annotations", "os"), json_values),
)


@given(fields, st.sampled_from(["", OCI_INDEX, OCI_MANIFEST, "text/html"]))
def test_any_document_is_decoded_or_refused(content: dict[str, object], content_type: str) -> None:
    body = json.dumps(content).encode()
    for read in (lambda: decode(body, content_type), lambda: decode_config(body, "x")):
        try:
            read()
        except RegistryProtocol:
            continue


@pytest.mark.parametrize("body", [b"{}", b'{"os": "linux"}', b'{"os": 1, "architecture": 2}', b"null", b"x"])
def test_a_configuration_without_a_platform_is_refused(body: bytes) -> None:
    with pytest.raises(RegistryProtocol):
        decode_config(body, "x")
