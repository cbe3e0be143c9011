"""Every store keeps the same promises; each of the clouds judges our signatures by itself."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from tests.worker import clouds

from flyte_build.registry.errors import (
    InvalidInput,
    ServiceConflict,
    ServiceDenied,
    ServiceError,
    ServiceUnavailable,
)
from flyte_build.worker.stores.azure import AzureAccount, AzureSigner
from flyte_build.worker.stores.choose import remote_store, store_at
from flyte_build.worker.stores.gcs import GcsSigner
from flyte_build.worker.stores.http import SignedRequest, StoreHttp
from flyte_build.worker.stores.keys import ObjectKey, md5_place
from flyte_build.worker.stores.remote import RemoteStore
from flyte_build.worker.stores.s3 import S3Signer
from flyte_build.worker.stores.signer import Content, Signer

CONTENT = b"the content of a bundle" * 100
MD5 = hashlib.md5(CONTENT).digest()
KEY = ObjectKey.upload("p", "development", md5_place(MD5), "bündel +=&~ 1.tar.gz")
OTHER = hashlib.md5(b"other").digest()


@dataclass
class Place:
    """A store, its signer, and a way to let time pass."""

    store: RemoteStore
    signer: Signer
    after: Callable[[float], None]
    binds_content: bool = True
    cloud: clouds.Cloud | None = None


@pytest.fixture(scope="session")
def google_key() -> clouds.GoogleKey:
    return clouds.GoogleKey()


@pytest.fixture(
    params=[
        pytest.param("s3", marks=pytest.mark.real, id="on S3"),
        pytest.param("gcs", id="on Google Cloud"),
        pytest.param("azure", id="on Azure"),
        # tests/parts/azurite sets it: the emulator is too heavy for every machine.
        *([pytest.param("azurite", marks=pytest.mark.real, id="on Azurite")] if clouds.AZURITE else []),
    ]
)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, google_key: clouds.GoogleKey
) -> Iterator[Place]:
    # Clocks of the doubles stand still; the real server has the machine's.
    cloud = clouds.Cloud(now=1_800_000_000.0)

    def clock() -> float:
        return cloud.now

    def after(seconds: float) -> None:
        cloud.now += seconds

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", clouds.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", clouds.SECRET)
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    if request.param == "s3":
        with clouds.s3(tmp_path / "s3") as url:
            s3 = S3Signer("bucket", endpoint=url)
            store = RemoteStore(s3, "some/prefix/", tmp_path / "copies", clock=time.time)
            store.open()
            yield Place(store, s3, lambda seconds: clouds.wait_until_past(time.time() + seconds + 1))
        return
    if request.param == "azurite":
        with clouds.azurite() as url:
            emulated = AzureAccount(name=clouds.AZURITE_ACCOUNT, key=clouds.AZURITE_KEY, endpoint=url)
            blobs = AzureSigner(emulated, "container", clock=time.time)
            store = RemoteStore(blobs, "some/prefix/", tmp_path / "copies", clock=time.time)
            store.open()
            later = lambda seconds: clouds.wait_until_past(time.time() + seconds + 1)  # noqa: E731
            yield Place(store, blobs, later, binds_content=False)
        return
    if request.param == "gcs":
        with clouds.google(cloud, google_key) as url:
            signer: Signer = GcsSigner("bucket", google_key, endpoint=url, clock=clock)
            store = RemoteStore(signer, "some/prefix/", tmp_path / "copies", clock=clock, sleep=lambda _: None)
            store.open()
            yield Place(store, signer, after, cloud=cloud)
        return
    with clouds.azure(cloud) as url:
        account = AzureAccount(name=clouds.ACCOUNT, key=clouds.ACCOUNT_KEY, endpoint=url)
        signer = AzureSigner(account, "container", clock=clock)
        store = RemoteStore(signer, "some/prefix/", tmp_path / "copies", clock=clock, sleep=lambda _: None)
        store.open()
        yield Place(store, signer, after, binds_content=False, cloud=cloud)


def send(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """One request of somebody who has nothing but the URL."""
    with urllib3.PoolManager() as pool:
        answer = pool.request(method, url, body=body or None, headers=headers, retries=False, timeout=10)
        return answer.status, answer.data


def put(place: Place, key: ObjectKey = KEY, content: bytes = CONTENT) -> None:
    signed = place.store.sign_put(key, hashlib.md5(content).digest(), seconds=600, size=len(content))
    assert send("PUT", signed.url, content, dict(signed.headers))[0] in (200, 201)


def test_what_was_signed_can_be_put_and_then_exists(place: Place, tmp_path: Path) -> None:
    assert not place.store.sign_put(KEY, MD5, seconds=600).exists
    put(place)
    assert place.store.sign_put(KEY, MD5, seconds=600).exists
    assert place.store.read(KEY, 10_000) == CONTENT
    assert place.store.sha256(KEY) == hashlib.sha256(CONTENT).hexdigest()
    assert place.store.fetch(KEY, tmp_path / "copy") == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert place.store.local_path(KEY).read_bytes() == CONTENT
    assert place.store.local_path(KEY).stat().st_mode & 0o777 == 0o644


def test_without_a_known_size_it_can_be_put_as_well(place: Place) -> None:
    signed = place.store.sign_put(KEY, MD5, seconds=600)
    assert send("PUT", signed.url, CONTENT, dict(signed.headers))[0] in (200, 201)
    assert place.store.read(KEY, 10_000) == CONTENT


@pytest.mark.parametrize("what", ["the key", "the signature", "the expiry", "the method"])
def test_a_signed_url_is_refused_when_somebody_changes(place: Place, what: str) -> None:
    signed = place.store.sign_put(KEY, MD5, seconds=600, size=len(CONTENT))
    url, method = signed.url, "PUT"
    if what == "the key":
        url = url.replace("/development/", "/production/")
    elif what == "the signature":
        head, mark, rest = url.partition("ignature=" if "ignature=" in url else "sig=")
        url = head + mark + ("0" if rest[0] != "0" else "1") + rest[1:]
    elif what == "the expiry":
        url = re.sub(r"(?<=&)se=20", "se=21", url.replace("Expires=600", "Expires=6000"))
    else:
        method = "DELETE"
    assert url != signed.url or method != "PUT"
    assert send(method, url, CONTENT, dict(signed.headers))[0] in (400, 403)
    with pytest.raises(ServiceError, match="no object"):
        place.store.read(KEY, 10_000)


def test_a_signed_url_ends(place: Place) -> None:
    signed = place.store.sign_put(KEY, MD5, seconds=1, size=len(CONTENT))
    place.after(1)
    assert send("PUT", signed.url, CONTENT, dict(signed.headers))[0] in (400, 403)
    put(place)
    link = place.store.sign_get(KEY, seconds=1)
    assert send("GET", link.url) == (200, CONTENT)
    place.after(1)
    assert send("GET", link.url)[0] in (400, 403)


def test_other_content_does_not_pass_a_signed_url(place: Place) -> None:
    signed = place.store.sign_put(KEY, MD5, seconds=600, size=len(CONTENT))
    same_size = b"!" * len(CONTENT)
    assert send("PUT", signed.url, same_size, dict(signed.headers))[0] in (400, 403)
    if place.binds_content:
        for headers in ({}, {**dict(signed.headers), "content-md5": "1B2M2Y8AsgTpgAmY7PhCfg=="}):
            assert send("PUT", signed.url, same_size, headers)[0] in (400, 403)
    with pytest.raises(ServiceError, match="no object"):
        place.store.read(KEY, 10_000)


def test_an_object_never_changes(place: Place) -> None:
    put(place)
    with pytest.raises(ServiceConflict, match="other content"):
        place.store.sign_put(KEY, OTHER, seconds=600)
    with pytest.raises(ServiceConflict, match="other content"):
        place.store.write(KEY, b"other")
    place.store.write(KEY, CONTENT)
    assert place.store.read(KEY, 10_000) == CONTENT


def test_a_link_to_download_is_for_what_is_there_only(place: Place) -> None:
    with pytest.raises(ServiceError, match="no object"):
        place.store.sign_get(KEY, seconds=60)


def test_parts_are_joined_when_they_are_what_was_said(place: Place) -> None:
    pieces = [CONTENT[:1000], CONTENT[1000:2000], CONTENT[2000:]]
    parts = [ObjectKey.parse(f"{KEY}.parts/{MD5.hex()}/{number:04d}") for number in range(3)]
    for part, piece in zip(parts[:2], pieces, strict=False):
        put(place, part, piece)
    assert not place.store.join(KEY, MD5, parts)
    put(place, parts[2], b"something else")
    assert not place.store.join(KEY, MD5, parts)
    place.store.remove(parts[2])
    put(place, parts[2], pieces[2])
    assert place.store.join(KEY, MD5, parts)
    assert [str(one.key) for one in place.store.held()] == [str(KEY)]
    assert place.store.read(KEY, 10_000) == CONTENT


def test_what_is_held_is_listed_over_many_pages_and_can_be_removed(place: Place) -> None:
    keys = [ObjectKey.upload("p", "d", "place", f"{number}.tar.gz") for number in range(5)]
    for key in keys:
        place.store.write(key, str(key).encode())
    held = list(place.store.held())
    assert [one.key for one in held] == keys
    assert [one.size for one in held] == [len(str(key)) for key in keys]
    assert all(abs(one.since - (place.cloud.now if place.cloud else time.time())) < 60 for one in held)
    place.store.remove(keys[0])
    place.store.remove(keys[0])
    assert [one.key for one in place.store.held()] == keys[1:]


def test_a_directory_is_the_objects_below_it(place: Place) -> None:
    for name in ("dir/a", "dir/b/c", "directory"):
        place.store.write(ObjectKey.upload("p", "d", "root", name), name.encode())
    path = place.store.local_path(ObjectKey.parse("uploads/p/d/root/dir"))
    assert {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()} == {"a", "b/c"}


def test_signed_urls_are_in_no_repr_and_no_log(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        signed = place.store.sign_put(KEY, MD5, seconds=600, size=len(CONTENT))
        put(place)
        place.store.read(KEY, 10_000)
    secret = signed.url.partition("?")[2][-40:]
    assert "ignature" not in repr(signed)
    assert secret not in repr(signed)
    assert secret not in caplog.text


@pytest.mark.parametrize("place", ["gcs", "azure"], indirect=True)
def test_what_is_old_is_uploaded_again(place: Place) -> None:
    assert place.cloud is not None
    put(place)
    place.cloud.now += 13 * 3600
    assert not place.store.sign_put(KEY, MD5, seconds=600).exists
    put(place)
    assert place.store.sign_put(KEY, MD5, seconds=600).exists


@pytest.mark.parametrize("place", ["gcs", "azure"], indirect=True)
def test_what_the_service_writes_again_is_young_again(place: Place) -> None:
    assert place.cloud is not None
    place.store.write(KEY, CONTENT)
    place.cloud.now += 13 * 3600
    place.store.write(KEY, CONTENT)
    (held,) = place.store.held()
    assert held.since == place.cloud.now


@pytest.mark.parametrize("place", ["gcs", "azure"], indirect=True)
def test_a_store_that_stumbles_is_asked_again_and_one_that_stays_down_is_named(place: Place) -> None:
    assert place.cloud is not None
    put(place)
    place.cloud.failing = [503, 500]
    assert place.store.read(KEY, 10_000) == CONTENT
    place.cloud.failing = [503] * 3
    with pytest.raises(ServiceUnavailable, match="it answered 503"):
        place.store.read(KEY, 10_000)
    place.cloud.failing = [403]
    with pytest.raises(ServiceDenied, match="refused the service's own credentials") as caught:
        place.store.read(KEY, 10_000)
    assert "ignature" not in caught.value.sentence


def test_an_object_over_the_limit_is_not_taken_in(place: Place) -> None:
    put(place)
    with pytest.raises(ServiceError, match="larger than 10 bytes"):
        place.store.read(KEY, 10)


def test_a_public_name_is_only_in_what_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", clouds.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", clouds.SECRET)
    signer = S3Signer("bucket", endpoint="http://minio:9000", public="https://s3.acme.com")
    assert signer.sign("GET", "x", seconds=1).url.startswith("http://minio:9000/bucket/x?")
    assert signer.sign("GET", "x", seconds=1, public=True).url.startswith("https://s3.acme.com/bucket/x?")
    assert signer.sign_put("x", Content(md5=MD5), seconds=1, public=True).url.startswith("https://s3.acme.com/")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://bucket",
        "s3://",
        "s3://bucket/../x",
        "s3://user:secret@bucket/x",
        "s3://bucket?secret=1",
        "gs://bucket?region=x",
        "az://account",
        "az://account/Container",
        "bucket",
    ],
)
def test_what_is_no_store_is_refused_without_its_secrets(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is not a store") as caught:
        remote_store(text, tmp_path, clock=time.time)
    assert "secret" not in caught.value.sentence


def test_a_directory_may_be_relative_and_a_mistyped_scheme_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("kept", "./kept", str(tmp_path / "kept")):
        store = store_at(text, tmp_path / "state", base_url=str, clock=time.time)
        monkeypatch.chdir("/")
        store.open()
        monkeypatch.chdir(tmp_path)
        assert [one.name for one in tmp_path.iterdir()] == ["kept"]
    with pytest.raises(InvalidInput, match="is not a store"):
        store_at("s3:/bucket", tmp_path, base_url=str, clock=time.time)


def test_an_account_without_its_key_is_named_without_any_key(tmp_path: Path) -> None:
    environ = {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=other;AccountKey=c2VjcmV0"}
    with pytest.raises(InvalidInput, match="no key for the storage account account") as caught:
        remote_store("az://account/container", tmp_path, clock=time.time, environ=environ)
    assert "c2VjcmV0" not in caught.value.sentence


def test_an_account_is_read_from_its_connection_string() -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=account;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net"
    account = AzureAccount.of_environment({"AZURE_STORAGE_CONNECTION_STRING": text}, "account")
    assert (account.key, account.endpoint) == (b"secret", "https://account.blob.core.windows.net")
    assert "secret" not in repr(account)


def test_a_store_that_is_down_is_named_without_the_url() -> None:
    http = StoreHttp("s3://bucket", sleep=lambda _: None)
    with pytest.raises(
        ServiceUnavailable, match=r"^the store s3://bucket cannot be used: cannot reach it: connection refused$"
    ):
        http.send(SignedRequest(method="GET", url="http://127.0.0.1:1/bucket/x?X-Amz-Signature=secret"))
