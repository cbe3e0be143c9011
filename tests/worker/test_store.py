from __future__ import annotations

import hashlib
import http.client
import json
import stat
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.worker.conftest import Clock, Served

from flyte_build.registry.errors import InvalidName, ServiceConflict, ServiceDenied, ServiceError
from flyte_build.worker.stores.keys import ObjectKey, is_native, key_of_native, md5_place
from flyte_build.worker.stores.local import LocalStore
from flyte_build.worker.stores.store import MAX_OBJECT

CONTENT = b"the content of a bundle"
MD5 = hashlib.md5(CONTENT).digest()
KEY = ObjectKey.upload("p", "development", md5_place(MD5), "fast.tar.gz")


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> LocalStore:
    store = LocalStore(tmp_path / "store", base_url=lambda: "http://127.0.0.1:1/store", clock=clock)
    store.open()
    return store


def parts_of(url: str) -> tuple[str, dict[str, str]]:
    split = urlsplit(url)
    return split.path.removeprefix("/store/"), dict(parse_qsl(split.query, keep_blank_values=True))


def put(store: LocalStore, url: str, content: bytes, **changes: str) -> None:
    path, query = parts_of(url)
    with store.receive(path, {**query, **changes}) as incoming:
        incoming.write(content)
        incoming.commit()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("uploads/p/development/abc/../x", id="a part that goes up"),
        pytest.param("uploads/p/development/abc/.", id="a part that is a dot"),
        pytest.param("uploads/p/development/abc//x", id="an empty part"),
        pytest.param("uploads/p/development/abc", id="no file"),
        pytest.param("uploads//development/abc/x", id="no project"),
        pytest.param("uploads/../development/abc/x", id="a project that goes up"),
        pytest.param("uploads/p//abc/x", id="no domain"),
        pytest.param("uploads/p/../abc/x", id="a domain that goes up"),
        pytest.param("uploads/p/development//x", id="no place"),
        pytest.param("uploads/p/development/../x", id="a place that goes up"),
        pytest.param("secret/p/development/abc/x", id="an area that is not one"),
        pytest.param("uploads/p/development/abc/x\0y", id="a NUL"),
        pytest.param("uploads/p/development/abc/x\ny", id="a line break"),
        pytest.param("uploads/p/development/abc/..\\x", id="a backslash"),
        pytest.param("uploads/p/development/abc/" + "x" * 201, id="a very long name"),
        pytest.param("/uploads/p/development/abc/x", id="a leading slash"),
    ],
)
def test_a_key_cannot_be(text: str) -> None:
    with pytest.raises(InvalidName):
        ObjectKey.parse(text)


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=4))
def test_every_key_that_parses_prints_as_it_was_and_stays_below_its_root(names: list[str]) -> None:
    text = "/".join(("uploads", "p", "d", "place", *names))
    try:
        key = ObjectKey.parse(text)
    except InvalidName:
        return
    assert str(key) == text
    assert Path("/root").joinpath(*key.parts).resolve().is_relative_to("/root/uploads/p/d")
    assert key_of_native(key.native_url, "p", "d") == key


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("file:///etc/passwd", id="a file of the machine"),
        pytest.param("file:///flyte-build/store/../../etc/passwd", id="a path that leaves the store"),
        pytest.param("s3://bucket/uploads/p/development/abc/x", id="another store"),
        pytest.param("http://127.0.0.1/store/uploads/p/development/abc/x", id="a URL of the network"),
        pytest.param("file:///flyte-build/store/uploads/other/development/abc/x", id="another project's"),
        pytest.param("file:///flyte-build/store/uploads/p/production/abc/x", id="another domain's"),
        pytest.param("file://host/flyte-build/store/uploads/p/development/abc/x", id="another host's"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_native_url_is_refused_when_it_is(url: str) -> None:
    with pytest.raises(ServiceDenied):
        key_of_native(url, "p", "development")


def test_a_native_url_is_recognised_with_and_without_its_scheme() -> None:
    plain = KEY.native_url.removeprefix("file://")
    assert is_native(plain)
    assert key_of_native(plain, "p", "development") == key_of_native(KEY.native_url, "p", "development") == KEY


def test_what_was_signed_can_be_put_and_put_again(store: LocalStore) -> None:
    signed = store.sign_put(KEY, MD5, seconds=60)
    assert not signed.exists
    put(store, signed.url, CONTENT)
    put(store, signed.url, CONTENT)
    assert store.sign_put(KEY, MD5, seconds=60).exists
    assert store.read(KEY, 100) == CONTENT
    assert store.sha256(KEY) == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"md5": "0" * 32}, "SignatureDoesNotMatch", id="another checksum"),
        pytest.param({"expires": "9999999999"}, "SignatureDoesNotMatch", id="a later end"),
        pytest.param({"size": "5"}, "SignatureDoesNotMatch", id="another size"),
        pytest.param({"signature": "0" * 64}, "SignatureDoesNotMatch", id="a signature of somebody else"),
        pytest.param({"signature": "ü"}, "SignatureDoesNotMatch", id="a signature that is not ASCII"),
        pytest.param({"expires": "soon"}, "not a signed URL", id="an end that is no number"),
    ],
)
def test_a_signed_url_is_refused_with(store: LocalStore, change: dict[str, str], sentence: str) -> None:
    signed = store.sign_put(KEY, MD5, seconds=60)
    with pytest.raises(ServiceDenied, match=sentence):
        put(store, signed.url, CONTENT, **change)


def test_a_signed_url_is_good_for_its_own_key_only(store: LocalStore) -> None:
    _, query = parts_of(store.sign_put(KEY, MD5, seconds=60).url)
    for key in (str(KEY) + "2", str(KEY).replace("/p/", "/q/")):
        with pytest.raises(ServiceDenied, match="SignatureDoesNotMatch"):
            store.receive(key, query)


def test_a_signed_url_is_good_for_its_own_method_only(store: LocalStore) -> None:
    path, write = parts_of(store.sign_put(KEY, MD5, seconds=60).url)
    store.write(KEY, CONTENT)
    _, read = parts_of(store.sign_get(KEY, seconds=60).url)
    assert store.give(path, read).read_bytes() == CONTENT
    with pytest.raises(ServiceDenied, match="SignatureDoesNotMatch"):
        store.give(path, write)
    with pytest.raises(ServiceDenied, match="SignatureDoesNotMatch"):
        store.receive(path, read)


def test_a_signed_url_ends_and_says_so_in_words_that_clients_know(store: LocalStore, clock: Clock) -> None:
    signed = store.sign_put(KEY, MD5, seconds=60)
    clock.now += 59
    put(store, signed.url, CONTENT)
    clock.now += 1
    with pytest.raises(ServiceDenied, match="Request has expired"):
        put(store, signed.url, CONTENT)


@pytest.mark.parametrize(
    ("size", "content"),
    [
        pytest.param(0, CONTENT + b"!", id="more than was hashed"),
        pytest.param(len(CONTENT), CONTENT + b"!", id="more than was said"),
        pytest.param(len(CONTENT), CONTENT[:-1], id="less than was said"),
        pytest.param(0, b"", id="nothing"),
    ],
)
def test_other_content_is_refused_and_leaves_nothing(
    store: LocalStore, tmp_path: Path, size: int, content: bytes
) -> None:
    signed = store.sign_put(KEY, MD5, seconds=60, size=size)
    with pytest.raises(ServiceDenied):
        put(store, signed.url, content)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.name != "secret"]


def test_an_upload_larger_than_the_limit_is_not_signed(store: LocalStore) -> None:
    with pytest.raises(ServiceDenied):
        store.sign_put(KEY, MD5, seconds=60, size=MAX_OBJECT + 1)


def test_an_object_never_changes(store: LocalStore) -> None:
    key = ObjectKey.upload("p", "development", "chosen-by-client", "file")
    put(store, store.sign_put(key, MD5, seconds=60).url, CONTENT)
    other = hashlib.md5(b"other").digest()
    with pytest.raises(ServiceConflict, match="other content"):
        store.sign_put(key, other, seconds=60)
    with pytest.raises(ServiceConflict, match="AlreadyExists"):
        store.write(key, b"other")
    below = ObjectKey.upload("p", "development", "chosen-by-client", "file/below")
    with pytest.raises(ServiceConflict):
        store.write(below, b"other")
    assert store.read(key, 100) == CONTENT


def test_the_secret_is_made_once_for_its_owner_only(store: LocalStore, tmp_path: Path, clock: Clock) -> None:
    secret = tmp_path / "store" / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    signed = store.sign_put(KEY, MD5, seconds=60)
    again = LocalStore(tmp_path / "store", base_url=lambda: "", clock=clock)
    again.open()
    put(again, signed.url, CONTENT)


def test_a_signed_upload_does_not_print_its_url(store: LocalStore) -> None:
    signed = store.sign_put(KEY, MD5, seconds=60)
    assert "signature" not in repr(signed)


def test_reading_is_bounded_and_a_missing_object_is_named(store: LocalStore) -> None:
    with pytest.raises(ServiceError, match="no object"):
        store.read(KEY, 10)
    store.write(KEY, CONTENT)
    with pytest.raises(ServiceError, match="larger than 10"):
        store.read(KEY, 10)


def test_a_put_over_the_network_answers_as_object_stores_do(served: Served) -> None:
    from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
    from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest

    request = CreateUploadLocationRequest(project="p", domain="development", content_md5=MD5, filename="ein bündel,1")
    with DataProxyServiceClientSync(served.url) as client:
        location = client.create_upload_location(request)
        assert "x-flyte-build-exists" not in location.headers
        headers = {"Content-MD5": b64encode(MD5).decode(), **location.headers}
        assert put_over_http(location.signed_url, CONTENT, headers) == (200, "")
        assert put_over_http(location.signed_url, CONTENT, headers) == (200, "")
        tampered = location.signed_url.replace("expires=", "expires=1")
        assert put_over_http(tampered, CONTENT, headers)[0] == 403
        status, body = put_over_http(location.signed_url, b"other", headers)
        assert (status, body.partition(":")[0]) == (403, "BadDigest")
        assert client.create_upload_location(request).headers["x-flyte-build-exists"] == "1"
    assert location.native_url == f"file:///flyte-build/store/uploads/p/development/{md5_place(MD5)}/ein bündel,1"
    assert urlsplit(location.signed_url).query not in (served.state / "flyte-build.db").read_text(errors="replace")


def test_signed_urls_carry_the_public_name_and_work_behind_it(serving: Callable[..., Served]) -> None:
    from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
    from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest

    public = "http://builds.acme.example:8443/flyte"
    served = serving(public_url=public)
    inside = json.loads((served.state / "endpoint.json").read_text())["url"]
    request = CreateUploadLocationRequest(project="p", domain="development", content_md5=MD5, filename="b.tar.gz")
    with DataProxyServiceClientSync(inside) as client:
        location = client.create_upload_location(request)
    assert location.signed_url.startswith(f"{public}/store/uploads/p/development/")
    headers = {"Content-MD5": b64encode(MD5).decode(), **location.headers}
    # What a proxy under that name would ask.
    assert put_over_http(location.signed_url.replace(public, inside), CONTENT, headers) == (200, "")


def put_over_http(url: str, content: bytes, headers: dict[str, str]) -> tuple[int, str]:
    split = urlsplit(url)
    connection = http.client.HTTPConnection(split.netloc, timeout=10)
    try:
        connection.request("PUT", f"{split.path}?{split.query}", content, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
