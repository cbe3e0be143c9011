"""Receiving by name: from a signed URL or a file, once per machine, verified, in a cache that stays small."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.download import download
from flyte_build.bundler.fetch import BundleCache, Wanted, fetch_bundle
from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.bundler.wire import Patience
from flyte_build.registry.errors import ArchiveError
from flyte_build.registry.names import Digest

from . import trees

QUICK = Patience(connect=5, answer=0.5, retries=2, pause=0.001)
SIGNATURE = "c2VjcmV0LXNpZ25hdHVyZQ"


class Source(ThreadingHTTPServer):
    """Gives `data`, or what `behaviour` says, one word per request; the last one stays."""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.data = data
        self.behaviour = ["ok"]
        self.requests = 0
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/b.tar.gz?X-Signature={SIGNATURE}"


class _Handler(BaseHTTPRequestHandler):
    server: Source

    def do_GET(self) -> None:
        self.server.requests += 1
        words = self.server.behaviour
        word = words.pop(0) if len(words) > 1 else words[0]
        data, status = self.server.data, 200
        if word.isdigit():
            status, data = int(word), b"<Error>no</Error>"
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if word == "hang":
            self.server.released.wait(20)
        self.wfile.write(data[: len(data) // 2] if word == "cut" else b"x" * len(data) if word == "other" else data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(data: bytes) -> Iterator[Source]:
    server = Source(data)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def bundle(tmp_path: Path) -> Archive:
    root = trees.make(tmp_path / "t", {"main.py": "print()", "data.bin": bytes(range(256)) * 500})
    return archive(list_tree(SourceTree(root=root)).manifest, root, tmp_path / "b.tar.gz")


@pytest.fixture
def source(bundle: Archive) -> Iterator[Source]:
    with serving(bundle.path.read_bytes()) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> BundleCache:
    return BundleCache(folder=tmp_path / "cache")


def wanted(bundle: Archive, url: str) -> Wanted:
    return Wanted(digest=bundle.parcel.digest, url=url, archive_digest=bundle.parcel.archive_digest)


def test_a_bundle_is_fetched_once_and_unpacked_as_often_as_asked(
    bundle: Archive, source: Source, cache: BundleCache, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        manifest = fetch_bundle(wanted(bundle, source.url), tmp_path / name, cache)
        assert manifest == bundle.manifest
        assert (tmp_path / name / "main.py").read_text() == "print()"
    assert source.requests == 1


def test_of_many_at_once_one_fetches(bundle: Archive, source: Source, cache: BundleCache, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda n: fetch_bundle(wanted(bundle, source.url), tmp_path / str(n), cache), range(8)))
    assert set(got) == {bundle.manifest}
    assert source.requests == 1


@pytest.mark.parametrize("form", ["a path", "a file URL"])
def test_it_may_be_a_file(bundle: Archive, cache: BundleCache, tmp_path: Path, form: str) -> None:
    url = str(bundle.path) if form == "a path" else bundle.path.as_uri()
    assert fetch_bundle(wanted(bundle, url), tmp_path / "out", cache) == bundle.manifest


@pytest.mark.parametrize("word", ["503", "500", "429", "cut", "hang"])
def test_it_is_asked_again_after(bundle: Archive, source: Source, tmp_path: Path, word: str) -> None:
    source.behaviour = [word, "ok"]
    download(source.url, tmp_path / "x", limit=10**6, patience=QUICK, expected=bundle.parcel.archive_digest)
    assert (tmp_path / "x").read_bytes() == source.data
    assert source.requests == 2


@pytest.mark.parametrize(
    ("word", "says", "requests"),
    [
        pytest.param("403", "answered 403", 1, id="a link that has expired"),
        pytest.param("404", "answered 404", 1, id="an object that is gone"),
        pytest.param("307", "answered 307", 1, id="a redirect, which is never followed"),
        pytest.param("503", "answered 503", 3, id="a store that stays overloaded"),
        pytest.param("cut", "connection", 3, id="an end that is missing"),
        pytest.param("hang", "did not answer in time", 3, id="a store that hangs"),
        pytest.param("other", "has the sha256", 1, id="other content"),
    ],
)
def test_it_fails_in_one_sentence_with(
    bundle: Archive, source: Source, tmp_path: Path, word: str, says: str, requests: int
) -> None:
    source.behaviour = [word]
    with pytest.raises(ArchiveError, match=says) as caught:
        download(source.url, tmp_path / "x", limit=10**6, patience=QUICK, expected=bundle.parcel.archive_digest)
    assert SIGNATURE not in caught.value.sentence + caught.value.hint
    assert "\n" not in caught.value.sentence
    assert source.requests == requests


def test_what_is_larger_than_allowed_is_not_taken_in(
    bundle: Archive, source: Source, cache: BundleCache, tmp_path: Path
) -> None:
    with pytest.raises(ArchiveError, match="is larger than 0 MiB"):
        fetch_bundle(wanted(bundle, source.url), tmp_path / "out", cache, ExtractLimits(archive_bytes=100))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("known", [True, False], ids=["with", "without"])
def test_another_bundle_leaves_nothing_and_is_forgotten(
    bundle: Archive, source: Source, cache: BundleCache, tmp_path: Path, known: bool
) -> None:
    archive_digest = bundle.parcel.archive_digest if known else None
    other = Wanted(digest=Digest("sha256", "0" * 64), url=source.url, archive_digest=archive_digest)
    for _ in range(2):
        with pytest.raises(ArchiveError, match="was expected"):
            fetch_bundle(other, tmp_path / "out", cache)
    assert not (tmp_path / "out").exists()
    assert [path.name for path in cache.folder.iterdir()] == ["locks"]
    assert source.requests == 2


def test_a_cached_archive_that_was_damaged_is_forgotten(
    bundle: Archive, source: Source, cache: BundleCache, tmp_path: Path
) -> None:
    fetch_bundle(wanted(bundle, source.url), tmp_path / "one", cache)
    kept = cache.folder / bundle.parcel.digest.hex
    kept.write_bytes(kept.read_bytes()[:-20])
    with pytest.raises(ArchiveError):
        fetch_bundle(wanted(bundle, source.url), tmp_path / "two", cache)
    fetch_bundle(wanted(bundle, source.url), tmp_path / "two", cache)
    assert source.requests == 2


def test_the_cache_keeps_what_was_used_last(tmp_path: Path) -> None:
    cache = BundleCache(folder=tmp_path / "cache", limit=250)
    digests = [Digest("sha256", f"{number:064x}") for number in range(3)]

    def get(path: Path) -> None:
        path.write_bytes(b"x" * 100)

    for number, digest in enumerate((digests[0], digests[1], digests[0], digests[2])):
        with cache.archive(digest, get) as path:
            assert path.read_bytes() == b"x" * 100
        os.utime(cache.folder / digest.hex, (number, number))
    assert {path.name for path in cache.folder.iterdir() if path.is_file()} == {digests[0].hex, digests[2].hex}


def test_one_larger_than_the_cache_is_still_handed_out(tmp_path: Path) -> None:
    cache = BundleCache(folder=tmp_path / "cache", limit=10)

    def get(path: Path) -> None:
        path.write_bytes(b"x" * 100)

    with cache.archive(Digest("sha256", "0" * 64), get) as path:
        assert path.stat().st_size == 100


def test_a_cache_that_cannot_be_is_one_sentence(bundle: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match=r"the bundle cache .* cannot be used: Not a directory"):
        fetch_bundle(wanted(bundle, str(bundle.path)), tmp_path / "out", BundleCache(folder=tmp_path / "file"))


def test_a_wanted_bundle_does_not_print_its_url(bundle: Archive, source: Source) -> None:
    assert SIGNATURE not in repr(wanted(bundle, source.url))
