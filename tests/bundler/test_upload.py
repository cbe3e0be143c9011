from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError

from flyte_build.bundler.answers import location_of
from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.bundler.upload import BundleReference, Parcel, upload
from flyte_build.bundler.wire import Answer, Patience, Wire
from flyte_build.registry.errors import (
    FlyteBuildError,
    InvalidInput,
    ServiceDenied,
    ServiceError,
    ServiceStranger,
    ServiceUnavailable,
    UploadError,
)

from . import doubles, trees

QUICK = Patience(connect=5, answer=0.3, retries=3, pause=0.001)


@pytest.fixture
def store() -> Iterator[doubles.Store]:
    with doubles.store() as server:
        yield server


@pytest.fixture(scope="module")
def front() -> Iterator[tuple[doubles.Service, str]]:
    """One endpoint for all tests, because it takes a moment to stop; `service` gives it a new memory."""
    with doubles.store() as unused:
        service = doubles.Service(unused, ours=True)
        with doubles.endpoint(service) as url:
            yield service, url


@pytest.fixture
def service(front: tuple[doubles.Service, str], store: doubles.Store) -> doubles.Service:
    front[0].begin(store, ours=True)
    return front[0]


@pytest.fixture
def uploads(front: tuple[doubles.Service, str], service: doubles.Service) -> SignedUploads:
    return SignedUploads(endpoint=Endpoint(url=front[1]), project="p", domain="d", wire=Wire(QUICK))


@pytest.fixture
def bundle(tmp_path: Path) -> Archive:
    root = trees.make(tmp_path / "t", {"main.py": "print()", "data.bin": bytes(range(256)) * 5000})
    return archive(list_tree(SourceTree(root=root)).manifest, root, tmp_path / "b.tar.gz")


def send(bundle: Archive, uploads: SignedUploads) -> BundleReference:
    return upload(lambda: (bundle.parcel, bundle.path), uploads)


def test_a_bundle_arrives_under_the_name_of_its_manifest(
    uploads: SignedUploads, store: doubles.Store, service: doubles.Service, bundle: Archive
) -> None:
    reference = send(bundle, uploads)
    key = f"p/d/{bundle.manifest.digest.hex}/bundle.tar.gz"
    assert str(reference) == f"s3://bucket/{key}"
    assert store.objects == {key: bundle.path.read_bytes()}
    assert reference.parcel == bundle.parcel
    assert reference.uploaded
    asked = service.requests[0]
    assert (asked.content_md5, asked.content_length, asked.expires_in.seconds) == (
        bundle.parcel.md5,
        bundle.parcel.archive_size,
        3600,
    )
    assert store.headers[0]["x-extra"] == "1"
    assert "Transfer-Encoding" not in store.headers[0]


def test_a_bundle_that_is_there_is_not_sent_again(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive
) -> None:
    first, second = send(bundle, uploads), send(bundle, uploads)
    assert (first.uri, first.uploaded, second.uploaded) == (second.uri, True, False)
    assert len(store.headers) == 1


def test_to_an_endpoint_that_knows_nothing_it_is_sent_each_time(
    uploads: SignedUploads, store: doubles.Store, service: doubles.Service, bundle: Archive
) -> None:
    service.ours = False
    assert send(bundle, uploads).uri == send(bundle, uploads).uri
    assert len(store.headers) == 2


def test_other_bytes_of_the_same_manifest_get_another_place(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive
) -> None:
    store.objects[f"p/d/{bundle.manifest.digest.hex}/bundle.tar.gz"] = b"by another compressor"
    reference = send(bundle, uploads)
    assert reference.uri == f"s3://bucket/p/d/{bundle.parcel.md5.hex()}/bundle.tar.gz"
    assert store.objects[reference.uri.removeprefix("s3://bucket/")] == bundle.path.read_bytes()


@pytest.mark.parametrize("word", ["408", "429", "500", "502", "503", "504", "reset", "hang"])
def test_an_upload_is_tried_again_after(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive, word: str
) -> None:
    store.behaviour = [word, word, "ok"]
    assert send(bundle, uploads).uploaded
    assert list(store.objects.values()) == [bundle.path.read_bytes()]
    assert len(store.headers) == 3


@pytest.mark.parametrize(
    ("word", "says", "attempts"),
    [
        pytest.param("expired", "its signed URL has expired", 1, id="an expired URL"),
        pytest.param("expired token", "its signed URL has expired", 1, id="an expired URL, said with 400"),
        pytest.param("denied", "(403): No: http://x/y?X-Signature=…", 1, id="a refusal with a URL in it"),
        pytest.param("mismatch", "(403): SignatureDoesNotMatch", 1, id="a refusal that repeats the signature"),
        pytest.param("echo", "(403): signature … is bad", 1, id="a refusal in words that repeat the signature"),
        pytest.param("404", "(404)", 1, id="a missing bucket"),
        pytest.param("moved", "(307)", 1, id="a redirect, which is never followed"),
        pytest.param("503", "(503)", 4, id="a store that stays overloaded"),
        pytest.param("500", "(500)", 4, id="a store that stays broken"),
        pytest.param("reset", "connection", 4, id="a store that hangs up"),
        pytest.param("hang", "did not answer in time", 4, id="a store that never answers"),
    ],
)
def test_an_upload_fails_in_one_sentence_with(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive, word: str, says: str, attempts: int
) -> None:
    store.behaviour = [word]
    with pytest.raises(UploadError) as caught:
        send(bundle, uploads)
    assert says in caught.value.sentence
    assert "\n" not in caught.value.sentence
    assert store.url in caught.value.sentence
    assert doubles.SIGNATURE not in caught.value.sentence
    assert (len(store.headers), store.objects) == (attempts, {})


def test_the_signed_url_is_in_no_log_and_no_repr(
    uploads: SignedUploads, bundle: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        location = uploads.locate(bundle.parcel)
        uploads.put(bundle.parcel, bundle.path, location)
    assert "PUT" in caplog.text
    assert doubles.SIGNATURE not in caplog.text
    assert doubles.SIGNATURE not in repr(location)


@pytest.mark.parametrize(
    ("code", "kind", "transient"),
    [
        pytest.param(Code.UNAUTHENTICATED, ServiceStranger, False, id="unauthenticated"),
        pytest.param(Code.PERMISSION_DENIED, ServiceDenied, False, id="denied"),
        pytest.param(Code.UNAVAILABLE, ServiceUnavailable, True, id="unavailable"),
        pytest.param(Code.NOT_FOUND, ServiceError, False, id="a project that is not there"),
        pytest.param(Code.ALREADY_EXISTS, ServiceError, False, id="a name that is taken twice"),
    ],
)
def test_what_the_endpoint_says_is_told(
    uploads: SignedUploads,
    service: doubles.Service,
    bundle: Archive,
    code: Code,
    kind: type[FlyteBuildError],
    transient: bool,
) -> None:
    service.failure = ConnectError(code, "because\x1b[31m of\nthis")
    with pytest.raises(kind, match=r"gave no place to upload to: because \[31m of this") as caught:
        send(bundle, uploads)
    assert type(caught.value) is kind
    assert caught.value.transient == transient


@pytest.mark.parametrize(
    ("word", "says"),
    [
        pytest.param("503", "{store} answered 503", id="overloaded"),
        pytest.param("reset", "the connection to {store}", id="hanging up"),
    ],
)
def test_what_is_tried_again_is_told(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive, word: str, says: str
) -> None:
    heard: list[str] = []
    store.behaviour = [word]
    wire = Wire(replace(QUICK, pause=0.001), told=heard.append)
    with pytest.raises(UploadError):
        send(bundle, replace(uploads, wire=wire))
    assert len(heard) == 3
    assert says.format(store=store.url) in heard[0]
    assert heard[0].endswith("; trying again in 0.001 s, 2 more after that")
    assert heard[2].endswith("; trying again in 0.004 s, the last time")
    assert doubles.SIGNATURE not in "".join(heard)


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        pytest.param(Code.UNAUTHENTICATED, "FLYTE_BUILD_TOKEN", id="no token, or an unknown one"),
        pytest.param(Code.PERMISSION_DENIED, "--project", id="not this project"),
    ],
)
def test_who_is_refused_reads_what_to_set(
    uploads: SignedUploads, service: doubles.Service, bundle: Archive, code: Code, hint: str
) -> None:
    service.failure = ConnectError(code, "no")
    with pytest.raises(ServiceDenied) as caught:
        send(bundle, uploads)
    assert hint in caught.value.hint


def test_an_endpoint_that_is_out_of_order_is_not_taken_for_another_server() -> None:
    answer = Answer(status=502, headers={}, body=b"<html>Bad Gateway</html>")
    with pytest.raises(ServiceUnavailable, match="answered 502: it is out of order"):
        location_of(Endpoint(url="http://flyte"), answer)


def test_an_endpoint_that_is_none_is_named(bundle: Archive, store: doubles.Store) -> None:
    uploads = SignedUploads(endpoint=Endpoint(url=store.url), project="p", domain="d", wire=Wire(QUICK))
    with pytest.raises(ServiceError, match="answered 501, which is not what a Flyte 2 endpoint says"):
        send(bundle, uploads)


def test_an_endpoint_that_is_down_is_named(bundle: Archive) -> None:
    uploads = SignedUploads(endpoint=Endpoint(url="http://127.0.0.1:1"), project="p", domain="d", wire=Wire(QUICK))
    with pytest.raises(ServiceUnavailable, match=r"cannot reach http://127\.0\.0\.1:1: connection refused"):
        send(bundle, uploads)


@pytest.mark.parametrize(
    ("text", "insecure", "url"),
    [
        pytest.param("http://127.0.0.1:8090/", False, "http://127.0.0.1:8090", id="http is kept"),
        pytest.param("https://flyte.acme.com/base/", True, "https://flyte.acme.com/base", id="https is kept"),
        pytest.param("dns:///flyte.acme.com", False, "https://flyte.acme.com", id="dns is https"),
        pytest.param("dns:///localhost:8090", True, "http://localhost:8090", id="dns is http when insecure"),
        pytest.param("flyte.acme.com:443", False, "https://flyte.acme.com:443", id="a host is https"),
        pytest.param("[::1]:8090", True, "http://[::1]:8090", id="an address of IPv6"),
    ],
)
def test_an_endpoint_is_parsed(text: str, insecure: bool, url: str) -> None:
    endpoint = Endpoint.parse(text, insecure=insecure)
    assert str(endpoint) == url
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "http://", "http://user:secret@x", "http://x:99999", "http://x?q=1", "http://a b", "s3://bucket/x"],
)
def test_what_is_no_endpoint_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not an endpoint") as caught:
        Endpoint.parse(text)
    assert "secret" not in caught.value.sentence


def test_what_is_remembered_and_there_is_not_even_made(uploads: SignedUploads, bundle: Archive) -> None:
    send(bundle, uploads)
    reference = upload(lambda: pytest.fail("it was made"), uploads, bundle.parcel)
    assert (reference.uploaded, reference.parcel) == (False, bundle.parcel)


def test_what_is_remembered_and_gone_is_made_and_sent(
    uploads: SignedUploads, store: doubles.Store, service: doubles.Service, bundle: Archive
) -> None:
    reference = upload(lambda: (bundle.parcel, bundle.path), uploads, bundle.parcel)
    assert reference.uploaded
    assert len(service.requests) == 1
    assert list(store.objects.values()) == [bundle.path.read_bytes()]


def test_a_compressor_that_has_changed_meanwhile_asks_for_another_place(
    uploads: SignedUploads, store: doubles.Store, service: doubles.Service, bundle: Archive
) -> None:
    before = replace(bundle.parcel, md5=b"\0" * 16)
    assert upload(lambda: (bundle.parcel, bundle.path), uploads, before).uploaded
    assert [request.content_md5 for request in service.requests] == [before.md5, bundle.parcel.md5]
    assert list(store.objects.values()) == [bundle.path.read_bytes()]


def test_an_endpoint_that_does_not_join_gets_one_put(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive
) -> None:
    send(bundle, replace(uploads, part_bytes=100))
    assert len(store.headers) == 1


def test_progress_adds_up_although_an_upload_is_sent_again(
    uploads: SignedUploads, store: doubles.Store, bundle: Archive
) -> None:
    store.behaviour = ["503", "reset", "ok"]
    heard: list[int] = []
    send(bundle, replace(uploads, sent=heard.append))
    assert sum(heard) >= bundle.parcel.archive_size
    assert min(heard) >= -bundle.parcel.archive_size


def test_a_parcel_is_remembered_as_it_was(bundle: Archive) -> None:
    assert Parcel.of_facts(json.loads(json.dumps(bundle.parcel.facts()))) == bundle.parcel
    assert Parcel.of_facts({}) is None
    assert Parcel.of_facts({**bundle.parcel.facts(), "md5": "x"}) is None
