"""uv for the image: from the machine's own index, exactly the wheel of the recipe, kept once."""

from __future__ import annotations

import hashlib
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.builder.doubles import AMD64

from flyte_build.builder import recipe, uv
from flyte_build.builder.recipe import UV_VERSION, Wheel
from flyte_build.registry.errors import BuildCancelled, InvalidInput, PackageIndexError

FILENAME = recipe.uv_wheel(AMD64).filename


def wheel(content: bytes) -> bytes:
    """A wheel that pip takes for uv's."""
    made = io.BytesIO()
    info = f"uv-{UV_VERSION}.dist-info"
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(f"uv-{UV_VERSION}.data/scripts/uv", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: uv\nVersion: {UV_VERSION}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return made.getvalue()


GOOD, BAD = wheel(b"#!good"), wheel(b"#!evil")


class Index(ThreadingHTTPServer):
    """A package index with one wheel."""

    daemon_threads = True

    def __init__(self) -> None:
        self.wheel = GOOD
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/simple"


class _Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == f"/{FILENAME}":
            self._answer("application/zip", self.server.wheel)
        elif self.path == "/simple/uv/":
            self._answer("text/html", f'<a href="/{FILENAME}">{FILENAME}</a>'.encode())
        else:
            self.send_error(404)

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Index]:
    """The machine's index; the recipe names its good wheel, and nothing is cached."""
    with Index() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        configure(monkeypatch, tmp_path, server.url)
        named = Wheel(filename=FILENAME, sha256=hashlib.sha256(GOOD).hexdigest())
        monkeypatch.setattr(uv, "uv_wheel", lambda platform: named)
        yield server
        server.shutdown()


def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    """pip's whole configuration is `url`; the cache is a new folder."""
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def left(tmp_path: Path) -> list[str]:
    """The files of the cache."""
    return [str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_the_wheel_is_fetched_once(index: Index, tmp_path: Path) -> None:
    assert not uv.has_uv(AMD64)
    binary = uv.fetch_uv(AMD64)
    assert (binary.read_bytes(), binary.stat().st_mode & 0o777) == (b"#!good", 0o755)
    asked = len(index.asked)
    assert uv.has_uv(AMD64)
    assert uv.fetch_uv(AMD64) == binary
    assert len(index.asked) == asked
    assert left(tmp_path) == [f"uv/{hashlib.sha256(GOOD).hexdigest()}/uv"]


def test_another_wheel_of_that_name_is_refused_and_not_kept(index: Index, tmp_path: Path) -> None:
    index.wheel = BAD
    with pytest.raises(PackageIndexError, match=r"gave another uv-.*whl than the recipe names, so it was not used"):
        uv.fetch_uv(AMD64)
    assert left(tmp_path) == []


def test_an_index_that_is_dead_gives_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        configure(monkeypatch, tmp_path, f"http://me:s3cret@127.0.0.1:{free.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "0")
        with pytest.raises(PackageIndexError) as caught:
            uv.fetch_uv(AMD64)
    assert caught.value.sentence.endswith("could not be downloaded: the package index does not answer")
    assert "\n" not in caught.value.sentence
    assert "pip config list" in caught.value.hint
    assert left(tmp_path) == []


def test_a_traceback_of_pips_gives_its_last_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))

    def full(argv: object, hear: Callable[[str], None], **_: object) -> int:
        hear("ERROR: Exception:\nTraceback (most recent call last):\n  File x\nOSError: No space left on device\n")
        return 2

    monkeypatch.setattr("flyte_build.builder.process.run", full)
    with pytest.raises(PackageIndexError, match="could not be downloaded: OSError: No space"):
        uv.fetch_uv(AMD64)


def test_an_index_without_it_gives_one_sentence(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("simple", "other"))
    with pytest.raises(
        PackageIndexError, match=f"could not be downloaded: No matching distribution found for uv=={UV_VERSION}"
    ):
        uv.fetch_uv(AMD64)


def test_a_download_can_be_cancelled(index: Index, tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(BuildCancelled):
        uv.fetch_uv(AMD64, cancelled)
    assert left(tmp_path) == []


def test_a_cache_that_cannot_be_written_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InvalidInput) as caught:
        uv.fetch_uv(AMD64)
    assert caught.value.hint == "set FLYTE_BUILD_CACHE to a folder that can be written"


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert uv.cache_folder() == Path("/a")
    monkeypatch.delenv("FLYTE_BUILD_CACHE")
    assert uv.cache_folder() == Path("/b/flyte-build")
