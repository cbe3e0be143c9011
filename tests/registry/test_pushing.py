"""May we push there, and what did that tag name before?"""

from __future__ import annotations

import pytest
from tests.registry.doubles import (
    FaultyRegistry,
    Says,
    Seen,
    anonymous,
    error,
    name_in,
    serve_image,
)
from tests.registry.images import config_of, manifest_of

from flyte_build.registry.descriptors import OCI_MANIFEST
from flyte_build.registry.errors import (
    RegistryDenied,
    RegistryError,
    RegistryMissing,
    RegistryProtocol,
    RegistryUnavailable,
)
from flyte_build.registry.names import Repository

CONFIG = config_of(Labels={"made": "here"})
MANIFEST = manifest_of(CONFIG)


class TestPushing:
    def repository(self, faulty: FaultyRegistry) -> Repository:
        return name_in(faulty).repository

    def test_an_upload_is_opened_and_taken_back(self, faulty: FaultyRegistry) -> None:
        faulty.says("/v2/acme/x/blobs/uploads/", Says(202, b"", (("location", "/v2/acme/x/blobs/uploads/1?s=2"),)))
        faulty.says("/v2/acme/x/blobs/uploads/1", Says(204))
        anonymous().push_check(self.repository(faulty))
        assert [(seen.method, seen.path) for seen in faulty.seen[1:]] == [
            ("POST", "/v2/acme/x/blobs/uploads/"),
            ("DELETE", "/v2/acme/x/blobs/uploads/1?s=2"),
        ]

    def test_one_that_cannot_be_taken_back_proves_no_less(self, faulty: FaultyRegistry) -> None:
        faulty.says("/v2/acme/x/blobs/uploads/", Says(202, b"", (("location", "/gone"),)))
        faulty.says("/gone", Says(reset=True))
        anonymous().push_check(self.repository(faulty))

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            pytest.param(Says(403, error("DENIED")), RegistryDenied, id="denied"),
            pytest.param(Says(405, error("UNSUPPORTED")), RegistryDenied, id="read-only"),
            pytest.param(Says(404, error("NAME_UNKNOWN")), RegistryMissing, id="no repository, and none is made"),
            pytest.param(Says(503), RegistryUnavailable, id="busy"),
            pytest.param(Says(200, b"{}"), RegistryProtocol, id="an answer that means nothing"),
        ],
    )
    def test_why_not_is_said_before_anything_is_built(
        self, faulty: FaultyRegistry, answer: Says, kind: type[RegistryError]
    ) -> None:
        faulty.says("/v2/acme/x/blobs/uploads/", answer)
        with pytest.raises(kind, match=rf"cannot push to 127\.0\.0\.1:{faulty.port}/acme/x: .* to anonymous") as caught:
            anonymous().push_check(self.repository(faulty))
        assert caught.value.hint or kind is RegistryUnavailable
        assert len(faulty.seen) == 2

    def test_a_tag_that_named_something_else_is_reported(self, faulty: FaultyRegistry) -> None:
        digest = serve_image(faulty, "acme/x", "v1", CONFIG)
        other = serve_image(faulty, "acme/x", "v2", config_of("arm64"))
        image = anonymous().resolve(name_in(faulty))

        def put(seen: Seen) -> Says:
            return Says(201) if seen.method == "PUT" else Says(404, error("MANIFEST_UNKNOWN"))

        current = faulty.answers["/v2/acme/x/manifests/v2"]
        faulty.says("/v2/acme/x/manifests/v2", *current, put)
        faulty.says("/v2/acme/x/manifests/new", put)
        moved, new, same = (anonymous().put_tag(image.reference, tag) for tag in ("v2", "new", "v1"))
        assert [(one.previous, one.moved) for one in (moved, new, same)] == [
            (other, True),
            (None, False),
            (digest, False),
        ]
        written = [seen for seen in faulty.seen if seen.method == "PUT"]
        assert [(seen.body, seen.headers["content-type"]) for seen in written] == [(MANIFEST, OCI_MANIFEST)] * 2
