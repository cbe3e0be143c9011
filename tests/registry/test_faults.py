"""Bad weather: every misbehaviour either recovers or ends in one sentence that says who, what and why."""

from __future__ import annotations

import time

import pytest
from tests.registry.doubles import (
    FaultyRegistry,
    Says,
    anonymous,
    error,
    faulty_registry,
    name_in,
    serve_image,
)
from tests.registry.images import config_of, manifest_of

from flyte_build.registry.descriptors import OCI_MANIFEST, Platform
from flyte_build.registry.errors import (
    RegistryDenied,
    RegistryError,
    RegistryMissing,
    RegistryProtocol,
    RegistryUnavailable,
)
from flyte_build.registry.names import ImageName
from flyte_build.registry.options import RegistryOptions

CONFIG = config_of(Labels={"made": "here"})
MANIFEST = manifest_of(CONFIG)
OCI = (("content-type", OCI_MANIFEST),)
JSON = (("content-type", "application/json"),)
AMD64 = Platform.parse("linux/amd64")
HTML = Says(404, b"<!doctype html><p>sign in", (("content-type", "text/html"),))
V1 = "/v2/acme/x/manifests/v1"


def test_an_image_is_found_with_platform_labels_and_digest(faulty: FaultyRegistry) -> None:
    digest = serve_image(faulty, "acme/x", "v1", CONFIG)
    image = anonymous().find(name_in(faulty))
    assert image is not None
    assert str(image.reference) == f"{faulty.registry}/acme/x@{digest}"
    assert (image.platforms, image.labels) == ((AMD64,), (("made", "here"),))
    assert [seen.method for seen in faulty.seen] == ["GET"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Says(404), id="an empty 404"),
        pytest.param(Says(404, b"404 page not found", (("content-type", "text/plain"),)), id="a plain 404"),
        pytest.param(Says(404, error("MANIFEST_UNKNOWN"), JSON), id="no such manifest"),
        pytest.param(Says(404, error("NAME_UNKNOWN"), JSON), id="no such repository"),
        pytest.param(Says(404, error("NOT_FOUND"), JSON), id="as Harbor says it"),
    ],
)
def test_missing_is_none(faulty: FaultyRegistry, answer: Says) -> None:
    faulty.says(V1, answer)
    assert anonymous().find(name_in(faulty)) is None
    with pytest.raises(RegistryMissing, match=r"there is no image 127\.0\.0\.1:\d+/acme/x:v1"):
        anonymous().resolve(name_in(faulty))


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        pytest.param(HTML, RegistryProtocol, "404 Not Found with an HTML page", id="a 404 login page"),
        pytest.param(
            Says(404, b"sign in", HTML.headers), RegistryProtocol, "HTML page", id="a 404 that says it is HTML"
        ),
        pytest.param(Says(200, HTML.body, HTML.headers), RegistryProtocol, "HTML page", id="a 200 login page"),
        pytest.param(Says(200, b"{}", OCI), RegistryProtocol, "not an OCI", id="an empty object"),
        pytest.param(Says(200, b"nope", OCI), RegistryProtocol, "not JSON", id="no JSON"),
        pytest.param(Says(401), RegistryDenied, "401 Unauthorized to anonymous", id="401 without a challenge"),
        pytest.param(
            Says(403, error("DENIED", "no pull")), RegistryDenied, "403 Forbidden (DENIED: no pull)", id="403"
        ),
        pytest.param(Says(404, error("UNAUTHORIZED")), RegistryDenied, "UNAUTHORIZED", id="a 404 that means 401"),
        pytest.param(Says(404, error("TAG_INVALID")), RegistryProtocol, "TAG_INVALID", id="a 404 of another kind"),
        pytest.param(Says(500), RegistryUnavailable, "500 Internal Server Error", id="500 for ever"),
        pytest.param(Says(503), RegistryUnavailable, "503 Service Unavailable", id="503 for ever"),
        pytest.param(Says(599), RegistryProtocol, "answered 599", id="a status that nobody knows"),
        pytest.param(Says(reset=True), RegistryUnavailable, "broke: connection reset", id="reset for ever"),
        pytest.param(Says(200, MANIFEST[:9], OCI, 500), RegistryUnavailable, "broke", id="cut off for ever"),
        pytest.param(
            Says(429, b"", (("retry-after", "3600"),)), RegistryUnavailable, "429 Too Many", id="429 for an hour"
        ),
        pytest.param(
            Says(200, MANIFEST, (*OCI, ("docker-content-digest", f"sha256:{'0' * 64}"))),
            RegistryProtocol,
            f"not sha256:{'0' * 64}",
            id="a digest that is not the content's",
        ),
        pytest.param(
            Says(200, MANIFEST, (*OCI, ("docker-content-digest", "sha256:12"))),
            RegistryProtocol,
            "is not one",
            id="a digest of the wrong length",
        ),
        pytest.param(
            Says(200, b" " * (4 * 1024 * 1024 + 1), OCI),
            RegistryProtocol,
            "larger than 4,194,304",
            id="too much",
        ),
    ],
)
def test_what_is_no_answer_is_an_error(
    faulty: FaultyRegistry, answer: Says, kind: type[RegistryError], said: str
) -> None:
    faulty.says(V1, answer)
    with pytest.raises(kind) as caught:
        anonymous().find(name_in(faulty))
    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert f"127.0.0.1:{faulty.port}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Says(500), id="500"),
        pytest.param(Says(503), id="503"),
        pytest.param(Says(429, b"", (("retry-after", "0"),)), id="429"),
        pytest.param(Says(reset=True), id="a reset"),
        pytest.param(Says(200, MANIFEST[:9], OCI, len(MANIFEST)), id="a cut"),
    ],
)
def test_what_passes_is_forgotten(faulty: FaultyRegistry, bad: Says) -> None:
    serve_image(faulty, "acme/x", "v1", CONFIG)
    faulty.says(V1, bad, bad, *faulty.answers[V1])
    assert anonymous().resolve(name_in(faulty), [AMD64]).platforms == (AMD64,)
    assert len(faulty.requests(V1)) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Says(200, b"<html>", (("content-type", "text/html"),)), RegistryProtocol, id="a portal"),
        pytest.param(Says(404), RegistryError, id="nothing at /v2/"),
        pytest.param(HTML, RegistryProtocol, id="a web server"),
        pytest.param(Says(403), RegistryDenied, id="a firewall"),
        pytest.param(Says(401), RegistryDenied, id="401 without a way in"),
        pytest.param(Says(401, b"", (("www-authenticate", "Negotiate"),)), RegistryProtocol, id="another way in"),
        pytest.param(Says(503), RegistryUnavailable, id="503"),
    ],
)
def test_a_404_of_what_is_no_registry_is_not_believed(
    faulty: FaultyRegistry, answer: Says, kind: type[RegistryError]
) -> None:
    faulty.says("/v2/", answer)
    with pytest.raises(kind):
        anonymous().find(name_in(faulty))


def test_quay_answers_its_version_check_with_a_word(faulty: FaultyRegistry) -> None:
    faulty.says("/v2/", Says(200, b"true", (("content-type", "text/html; charset=utf-8"),)))
    assert anonymous().find(name_in(faulty)) is None


def test_a_server_that_never_finishes_is_left(faulty: FaultyRegistry) -> None:
    faulty.says(V1, Says(200, MANIFEST, OCI, drip=0.2))
    start = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="did not finish its answer in time"):
        anonymous(RegistryOptions(answer_timeout=0.5, attempts=1)).find(name_in(faulty))
    assert time.monotonic() - start < 30


def test_headers_that_never_end_are_left(faulty: FaultyRegistry) -> None:
    faulty.says(V1, Says(slow_head=0.2))
    start = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="did not answer in time"):
        anonymous(RegistryOptions(answer_timeout=1, attempts=1)).find(name_in(faulty))
    assert time.monotonic() - start < 15


def test_a_registry_that_is_down_is_one_sentence() -> None:
    with faulty_registry() as gone:
        image = name_in(gone)
    with pytest.raises(RegistryUnavailable, match=r"cannot reach http://127\.0\.0\.1:\d+: connection refused"):
        anonymous().find(image)


def test_a_host_that_does_not_exist_is_one_sentence() -> None:
    with pytest.raises(RegistryUnavailable, match=r"cannot reach https://nowhere\.invalid: "):
        anonymous().find(ImageName.parse("nowhere.invalid/acme/x:v1"))


def test_a_host_that_knows_no_registry_api_is_not_told_to_check_the_name(faulty: FaultyRegistry) -> None:
    faulty.says("/v2/", Says(404))
    with pytest.raises(RegistryProtocol, match=r"as an OCI registry: .* answered 404") as caught:
        anonymous().find(name_in(faulty))
    assert caught.value.hint == "check the host: whatever answers there is not a registry"
