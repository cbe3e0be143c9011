"""Stores behind a served endpoint: our own client and the SDK's requests, parts, links, and what may be removed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import identifier_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    ARTIFACT_TYPE_CODE_BUNDLE,
    ARTIFACT_TYPE_REPORT,
    CreateDownloadLinkRequest,
    CreateUploadLocationRequest,
)
from flyteidl2.task.task_definition_pb2 import TaskIdentifier
from flyteidl2.task.task_service_connect import TaskServiceClientSync
from flyteidl2.task.task_service_pb2 import DeployTaskRequest
from tests.worker import clouds
from tests.worker.conftest import Served
from tests.worker.make import container_task

from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.fetch import BundleCache, Wanted, fetch_bundle
from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.bundler.upload import BundleReference, upload
from flyte_build.bundler.wire import Patience, Request, Wire
from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.cli.main import run
from flyte_build.worker.database.engine import Database
from flyte_build.worker.retention import DAY, References, fates
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.store import Held

# A whole endpoint for each test: no part of `make check`.
pytestmark = pytest.mark.real

NOISE = random.Random(1).randbytes(300_000)


@pytest.fixture
def bundle(tmp_path: Path) -> Archive:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "main.py").write_text("print()\n")
    (root / "data.bin").write_bytes(NOISE)
    return archive(list_tree(SourceTree(root=root)).manifest, root, tmp_path / "b.tar.gz")


@pytest.fixture(params=[pytest.param("", id="in a directory"), pytest.param("s3", marks=pytest.mark.real, id="on S3")])
def place(
    request: pytest.FixtureRequest, serving: Callable[..., Served], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Served]:
    """A service, and the same with its uploads in a bucket."""
    if not request.param:
        yield serving()
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", clouds.KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", clouds.SECRET)
    with clouds.s3(tmp_path / "s3") as url:
        served = serving(store=f"s3://bucket/prefix?endpoint={url}")
        yield served
        served.stop()


class Counting(Wire):
    """Counts requests; `broken` of them, after so many PUTs, fail like a network that is gone."""

    def __init__(self, puts: int = 10**9) -> None:
        super().__init__(Patience(retries=0))
        self.puts = puts
        self.sent: list[str] = []

    def send(self, request: Request):  # type: ignore[no-untyped-def]
        if request.method == "PUT" and self.puts <= 0:
            request = Request(method="PUT", url="http://127.0.0.1:1/", headers={}, body=request.body)
        self.puts -= request.method == "PUT"
        answer = super().send(request)
        self.sent.append(request.method)
        return answer


def uploads(url: str, wire: Wire | None = None, part_bytes: int = 16 << 20, **more: object) -> SignedUploads:
    return SignedUploads(
        endpoint=Endpoint(url=url),
        project="p",
        domain="development",
        wire=wire or Wire(),
        part_bytes=part_bytes,
        **more,  # type: ignore[arg-type]
    )


def send(bundle: Archive, uploader: SignedUploads) -> BundleReference:
    return upload(lambda: (bundle.parcel, bundle.path), uploader, bundle.parcel)


def test_a_bundle_is_sent_once_and_found_by_its_name_from_then_on(place: Served, bundle: Archive) -> None:
    wire = Counting()
    assert send(bundle, uploads(place.url, wire)).uploaded
    assert not send(bundle, uploads(place.url, wire)).uploaded
    assert wire.sent == ["POST", "PUT", "POST"]


def test_headers_of_an_upload_are_named_as_the_sdk_names_its_own(place: Served) -> None:
    """By another spelling the SDK would send one twice, and stores compute the signature of one."""
    content = b"a spec"
    md5 = hashlib.md5(content).digest()
    asked = CreateUploadLocationRequest(project="p", domain="development", content_md5=md5, filename="spec.pb")
    with DataProxyServiceClientSync(place.url) as client:
        location = client.create_upload_location(asked)
    own = {"Content-Length": str(len(content)), "Content-MD5": base64.b64encode(md5).decode()}
    headers = {**location.headers, **own}
    assert len({name.lower() for name in headers}) == len(headers)
    with urllib3.PoolManager() as pool:
        assert pool.request("PUT", location.signed_url, body=content, headers=headers).status == 200


def test_a_large_archive_goes_in_parts_and_arrives_whole(place: Served, bundle: Archive) -> None:
    wire, progress = Counting(), list[int]()
    done = send(bundle, uploads(place.url, wire, part_bytes=64 << 10, sent=progress.append))
    assert done.uploaded
    assert wire.sent.count("PUT") == -(-bundle.parcel.archive_size // (64 << 10)) == 5
    assert sum(progress) == bundle.parcel.archive_size
    assert not send(bundle, uploads(place.url, wire)).uploaded


def test_an_upload_in_parts_that_was_interrupted_goes_on_where_it_was(place: Served, bundle: Archive) -> None:
    broken = Counting(puts=3)
    with pytest.raises(Exception, match="cannot reach"):
        send(bundle, uploads(place.url, broken, part_bytes=64 << 10))
    again = Counting()
    assert send(bundle, uploads(place.url, again, part_bytes=64 << 10)).uploaded
    assert broken.sent.count("PUT") + again.sent.count("PUT") == 5
    assert not send(bundle, uploads(place.url, again)).uploaded


def test_other_content_under_a_chosen_name_already_exists_for_any_client(place: Served) -> None:
    with DataProxyServiceClientSync(place.url) as client:
        for content, fine in ((b"one", True), (b"two", False)):
            request = CreateUploadLocationRequest(
                project="p",
                domain="development",
                filename="f",
                filename_root="root",
                content_md5=hashlib.md5(content).digest(),
            )
            if not fine:
                with pytest.raises(ConnectError, match="other content") as caught:
                    client.create_upload_location(request)
                assert caught.value.code is Code.ALREADY_EXISTS
                return
            location = client.create_upload_location(request)
            answer = urllib3.request("PUT", location.signed_url, body=content, headers=dict(location.headers))
            assert answer.status in (200, 201)


def test_a_link_gives_the_bundle_of_a_task_to_who_unpacks_it(place: Served, bundle: Archive, tmp_path: Path) -> None:
    uri = send(bundle, uploads(place.url)).uri
    identifier = TaskIdentifier(project="p", domain="development", name="t", version="1")
    spec = container_task("image", "a0", "--tgz", uri, "--dest", ".")
    with TaskServiceClientSync(place.url) as tasks, DataProxyServiceClientSync(place.url) as client:
        tasks.deploy_task(DeployTaskRequest(task_id=identifier, spec=spec))
        request = CreateDownloadLinkRequest(artifact_type=ARTIFACT_TYPE_CODE_BUNDLE, task_id=identifier)
        link = client.create_download_link(request).pre_signed_urls
        with pytest.raises(ConnectError) as caught:
            client.create_download_link(CreateDownloadLinkRequest(artifact_type=ARTIFACT_TYPE_REPORT))
        assert caught.value.code is Code.UNIMPLEMENTED
        request.task_id.name = "nobody"
        with pytest.raises(ConnectError) as caught:
            client.create_download_link(request)
        assert caught.value.code is Code.NOT_FOUND
        attempt = identifier_pb2.ActionAttemptIdentifier()
        with pytest.raises(ConnectError):
            client.create_download_link(
                CreateDownloadLinkRequest(artifact_type=ARTIFACT_TYPE_CODE_BUNDLE, action_attempt_id=attempt)
            )
    wanted = Wanted(digest=bundle.parcel.digest, url=link.signed_url[0], archive_digest=bundle.parcel.archive_digest)
    fetch_bundle(wanted, tmp_path / "out", BundleCache(folder=tmp_path / "cache"))
    assert (tmp_path / "out" / "data.bin").read_bytes() == NOISE
    tampered = link.signed_url[0].replace("bundle.tar.gz", "other.tar.gz")
    assert urllib3.request("GET", tampered).status in (400, 403)


def held(name: str, since: float) -> Held:
    return Held(key=ObjectKey.parse(name), size=1, since=since)


NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("name", "age", "kept"),
    [
        pytest.param("uploads/p/d/x/bundle.tar.gz", DAY - 1, True, id="younger than a day"),
        pytest.param("uploads/p/d/x/bundle.tar.gz", DAY, False, id="a day old and nobody's"),
        pytest.param("uploads/p/d/used/bundle.tar.gz", 100 * DAY, True, id="old and referred to"),
        pytest.param("uploads/p/d/dir/a/b", 100 * DAY, True, id="in a directory that is referred to"),
        pytest.param("uploads/p/d/dir2/a", 100 * DAY, False, id="beside a directory that is referred to"),
        pytest.param("inputs/p/d/used/inputs.pb", 100 * DAY, True, id="inputs of a run"),
        pytest.param("inputs/p/d/x/inputs.pb", DAY - 1, True, id="inputs of a run that is about to begin"),
        pytest.param("inputs/p/d/x/inputs.pb", DAY, False, id="inputs of a run that is forgotten"),
    ],
)
def test_an_upload_stays_or_goes_when_it_is(name: str, age: float, kept: bool) -> None:
    used = {"uploads/p/d/used/bundle.tar.gz", "uploads/p/d/dir/a", "inputs/p/d/used/inputs.pb"}
    references = References(names=frozenset(used))
    (fate,) = fates([held(name, NOW - age)], references, NOW)
    assert fate.kept is kept


def test_nothing_goes_within_a_day() -> None:
    with pytest.raises(InvalidInput, match="never removed"):
        list(fates([held("uploads/p/d/x/b", 0)], References(names=frozenset()), NOW, age=DAY - 1))


def test_prune_removes_what_nobody_refers_to_and_says_so(
    served: Served, bundle: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    used = send(bundle, uploads(served.url)).uri
    (tmp_path / "tree" / "main.py").write_text("print(2)\n")
    root = tmp_path / "tree"
    other = archive(list_tree(SourceTree(root=root)).manifest, root, tmp_path / "b2.tar.gz")
    lost = send(other, uploads(served.url)).uri
    with TaskServiceClientSync(served.url) as tasks:
        identifier = TaskIdentifier(project="p", domain="development", name="t", version="1")
        tasks.deploy_task(DeployTaskRequest(task_id=identifier, spec=container_task("i", "a0", "--tgz", used)))
    store = served.state / "store"
    old = time.time() - 2 * DAY
    files = [path for path in (store / "uploads").rglob("*") if path.is_file()]
    assert len(files) == 2

    def prune(*flags: str, state: Path = served.state) -> dict[str, bool]:
        assert run(["bundles", *flags, "--state", str(state), "--json"]) == 0
        rows = json.loads(capsys.readouterr().out)["uploads"]
        return {row["key"].split("/")[3]: row["removed"] for row in rows}

    assert prune("prune") == {}
    for path in files:
        os.utime(path, (old, old))
    gone = other.parcel.digest.hex
    assert prune("list") == {gone: False, bundle.parcel.digest.hex: False}
    apart = ("--store", str(store), "--database", f"sqlite:///{served.state}/flyte-build.db")
    assert prune("prune", "--dry-run", *apart, state=tmp_path) == {gone: False}
    assert prune("prune", "--dry-run") == {gone: False}
    assert prune("prune") == {gone: True}
    assert prune("list") == {bundle.parcel.digest.hex: False}
    # Somebody who asks for it in between makes it young again.
    assert not send(bundle, uploads(served.url)).uploaded
    (kept,) = (path for path in files if path.exists())
    assert kept.stat().st_mtime > old + DAY
    assert send(other, uploads(served.url)).uri == lost
    assert prune("prune") == {}


def test_bundles_of_no_service_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundles", "list", "--state", str(tmp_path)]) == 1
    assert "holds no service's state" in capsys.readouterr().err
    Database(f"sqlite:///{tmp_path / 'flyte-build.db'}").create()
    assert run(["bundles", "prune", "--state", str(tmp_path), "--older-than", "1"]) == 1
    assert "never removed" in capsys.readouterr().err
