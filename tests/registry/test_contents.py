"""Blobs, indexes and artifacts, from servers that tell the truth and from those that do not."""

from __future__ import annotations

import json

import pytest
from tests.registry.doubles import (
    FaultyRegistry,
    Says,
    anonymous,
    name_in,
)
from tests.registry.images import config_of, index_of, manifest_of

from flyte_build.registry.descriptors import OCI_INDEX, OCI_MANIFEST, Descriptor, Platform
from flyte_build.registry.errors import (
    InvalidInput,
    RegistryMissing,
    RegistryProtocol,
)
from flyte_build.registry.inventory import inspect_image
from flyte_build.registry.names import Repository
from flyte_build.registry.verify import digest_of

CONFIG = config_of(Labels={"made": "here"})
MANIFEST = manifest_of(CONFIG)
OCI = (("content-type", OCI_MANIFEST),)
AMD64 = Platform.parse("linux/amd64")
V1 = "/v2/acme/x/manifests/v1"


class TestBlobs:
    def blob(self, faulty: FaultyRegistry, limit: int = 1000, size: int | None = None) -> bytes:
        descriptor = Descriptor(media_type="x", digest=digest_of(CONFIG), size=len(CONFIG) if size is None else size)
        return anonymous().blob(Repository.parse(f"{faulty.registry}/acme/x"), descriptor, limit)

    def path(self) -> str:
        return f"/v2/acme/x/blobs/{digest_of(CONFIG)}"

    def test_the_content_is_given(self, faulty: FaultyRegistry) -> None:
        faulty.says(self.path(), Says(200, CONFIG))
        assert self.blob(faulty) == CONFIG

    def test_other_content_is_refused(self, faulty: FaultyRegistry) -> None:
        faulty.says(self.path(), Says(200, CONFIG[:-1] + b"!"))
        with pytest.raises(RegistryProtocol, match="does not have the digest"):
            self.blob(faulty)

    def test_more_content_is_refused(self, faulty: FaultyRegistry) -> None:
        faulty.says(self.path(), Says(200, CONFIG + b"!"))
        with pytest.raises(RegistryProtocol, match="is larger than"):
            self.blob(faulty)

    def test_less_content_is_asked_for_again(self, faulty: FaultyRegistry) -> None:
        faulty.says(self.path(), Says(200, CONFIG[:-1]), Says(200, CONFIG))
        assert self.blob(faulty) == CONFIG

    def test_content_beyond_the_limit_is_not_asked_for(self, faulty: FaultyRegistry) -> None:
        with pytest.raises(RegistryProtocol, match="more than the 1,000"):
            self.blob(faulty, size=1001)
        assert faulty.seen == []

    def test_a_missing_one_is_an_error(self, faulty: FaultyRegistry) -> None:
        with pytest.raises(RegistryMissing, match="cannot read the blob"):
            self.blob(faulty)


class TestIndexes:
    def serve(self, faulty: FaultyRegistry) -> None:
        arm = manifest_of(config_of("arm64", Env=["PATH=/arm"]))
        body = index_of({"linux/amd64": MANIFEST, "linux/arm64/v8": arm, "unknown/unknown": b"x"})
        faulty.says(V1, Says(200, body, (("content-type", OCI_INDEX),)))
        faulty.says(f"/v2/acme/x/manifests/{digest_of(arm)}", Says(200, arm, OCI))
        config = config_of("arm64", Env=["PATH=/arm"])
        faulty.says(f"/v2/acme/x/blobs/{digest_of(config)}", Says(200, config))

    def test_one_request_tells_every_platform(self, faulty: FaultyRegistry) -> None:
        self.serve(faulty)
        image = anonymous().resolve(name_in(faulty), [AMD64, Platform.parse("linux/aarch64")])
        assert len(image.manifests) == 2
        assert len(faulty.requests(V1)) == len(faulty.seen) - 1 == 1

    def test_a_platform_that_is_not_offered_names_those_that_are(self, faulty: FaultyRegistry) -> None:
        self.serve(faulty)
        with pytest.raises(InvalidInput, match=r"not offered for linux/riscv64$") as caught:
            anonymous().resolve(name_in(faulty), [AMD64, Platform.parse("linux/riscv64")])
        assert "linux/amd64, linux/arm64" in caught.value.hint

    def test_the_configuration_of_one_platform_is_read(self, faulty: FaultyRegistry) -> None:
        self.serve(faulty)
        assert anonymous().image_config(name_in(faulty), Platform.parse("linux/arm64")).variable("PATH") == "/arm"

    def test_an_artifact_has_no_platform(self, faulty: FaultyRegistry) -> None:
        faulty.says(V1, Says(200, manifest_of(b"{}", "application/vnd.oci.empty.v1+json"), OCI))
        image = anonymous().find(name_in(faulty))
        assert image is not None
        assert (image.platforms, image.config) == ((), None)


def test_a_build_cache_is_described_although_its_index_holds_layers(faulty: FaultyRegistry) -> None:
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": str(digest_of(b"x")), "size": 7}
    body = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [layer]}).encode()
    faulty.says(V1, Says(200, body, (("content-type", OCI_INDEX),)))
    stored = inspect_image(anonymous(), name_in(faulty))
    assert (stored.size, stored.parts, stored.spec_digest) == (7, (), None)
