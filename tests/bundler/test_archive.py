from __future__ import annotations

import gzip
import hashlib
import os
import random
import resource
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.bundler import compressor
from flyte_build.bundler.archive import Archive, archive
from flyte_build.bundler.compressor import BLOCK, GzipWriter
from flyte_build.bundler.limits import BundleLimits
from flyte_build.bundler.manifest import Entry
from flyte_build.bundler.tarring import EPOCH, header
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import ArchiveError, InvalidTree

from . import trees

FILES: dict[str, str | bytes] = {
    "main.py": "print()\n",
    "empty": "",
    "pkg/é/x" * 20: "long and not ASCII",
    "deep/" * 40 + "x": "deeper than USTAR goes",
    "big.bin": bytes(range(256)) * 9000,
    "exactly": b"x" * 512,
    "link": "->pkg",
    "pkg/long-link": "->" + "./" * 60 + "../main.py",
}


def packed(root: Path, destination: Path, limits: BundleLimits | None = None) -> Archive:
    return archive(list_tree(SourceTree(root=root)).manifest, root, destination, limits)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = trees.make(tmp_path / "t", FILES)
    (made / "main.py").chmod(0o755)
    return made


def test_plain_tar_extracts_it(root: Path, tmp_path: Path) -> None:
    bundle = packed(root, tmp_path / "b.tar.gz")
    (tmp_path / "out").mkdir()
    command = ["tar", "--overwrite", "-xvf", str(bundle.path), "-C", str(tmp_path / "out")]
    subprocess.run(command, check=True, capture_output=True)
    assert list_tree(SourceTree(root=tmp_path / "out")).manifest == bundle.manifest
    assert subprocess.run(["gzip", "-t", str(bundle.path)], check=True, capture_output=True).stderr == b""


def test_it_tells_nothing_of_the_machine(root: Path, tmp_path: Path) -> None:
    bundle = packed(root, tmp_path / "b.tar.gz")
    with tarfile.open(bundle.path) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {(EPOCH, 0, 0, "", "")}
    assert {m.mode for m in members} == {0o644, 0o755, 0o777}
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert bundle.path.read_bytes()[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def test_its_checksums_are_those_of_the_file(root: Path, tmp_path: Path) -> None:
    bundle = packed(root, tmp_path / "b.tar.gz")
    data = bundle.path.read_bytes()
    assert (bundle.parcel.archive_digest.hex, bundle.parcel.md5) == (
        hashlib.sha256(data).hexdigest(),
        hashlib.md5(data).digest(),
    )
    assert bundle.parcel.archive_size == len(data)
    assert bundle.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("processors", [1, 2, 16])
def test_its_bytes_do_not_depend_on_the_number_of_processors(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    before = packed(root, tmp_path / "1.tar.gz").parcel
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    assert packed(root, tmp_path / "2.tar.gz").parcel == before


def test_over_its_limit_it_names_the_ten_largest_files_and_leaves_nothing(tmp_path: Path) -> None:
    chance = random.Random(1)
    root = trees.make(tmp_path / "t", {f"f{n:02}": chance.randbytes(n * 1000) for n in range(12)})
    with pytest.raises(InvalidTree, match="the largest are f11") as caught:
        packed(root, tmp_path / "out" / "b.tar.gz", BundleLimits(archive_bytes=50_000))
    assert [f"f{n:02}" in caught.value.sentence for n in range(12)] == [False] * 2 + [True] * 10
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "content", [pytest.param("other!!!\n", id="of another size"), pytest.param("PRINT()\n", id="of the same size")]
)
def test_a_file_with_other_content_since_it_was_listed_is_noticed(root: Path, tmp_path: Path, content: str) -> None:
    manifest = list_tree(SourceTree(root=root)).manifest
    (root / "main.py").write_text(content)
    with pytest.raises(InvalidTree, match=r"main\.py changed"):
        archive(manifest, root, tmp_path / "out" / "b.tar.gz")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_earlier_archive_stays_when_a_new_one_fails(root: Path, tmp_path: Path) -> None:
    bundle = packed(root, tmp_path / "b.tar.gz")
    before = bundle.path.read_bytes()
    (root / "main.py").unlink()
    with pytest.raises(InvalidTree):
        archive(bundle.manifest, root, bundle.path)
    assert bundle.path.read_bytes() == before


@pytest.mark.parametrize("place", ["file/b.tar.gz", "folder"])
def test_a_place_that_cannot_be_written_is_one_sentence(root: Path, tmp_path: Path, place: str) -> None:
    trees.make(tmp_path, {"file": "", "folder/x": ""})
    with pytest.raises(ArchiveError, match="cannot be written"):
        packed(root, tmp_path / place)


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(root: Path, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(ArchiveError, match="cannot be written: File too large"):
            packed(root, tmp_path / "out" / "b.tar.gz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


@given(st.lists(st.one_of(st.binary(max_size=300), st.sampled_from([b"\0" * BLOCK, b"ab" * BLOCK])), max_size=4))
def test_any_bytes_come_back_from_one_gzip_member(pieces: list[bytes]) -> None:
    out: list[bytes] = []
    with GzipWriter(out.append) as writer:
        for piece in pieces:
            writer.write(piece)
    data = b"".join(out)
    assert gzip.decompress(data) == b"".join(pieces)
    one = zlib.decompressobj(wbits=31)
    one.decompress(data)
    assert one.eof
    assert not one.unused_data


def test_what_does_not_compress_is_stored() -> None:
    noise = random.Random(1).randbytes(BLOCK)
    assert BLOCK <= len(compressor.deflate_block(noise)) < BLOCK * 1.001
    assert len(compressor.deflate_block(b"\0" * BLOCK)) < BLOCK / 100


@given(
    st.text(st.characters(exclude_characters="\0/", codec="utf-8"), min_size=1, max_size=160),
    st.sampled_from(["0644", "0755"]),
    st.integers(0, 1 << 36),
)
def test_a_header_is_what_the_library_writes(name: str, mode: Literal["0644", "0755"], size: int) -> None:
    if name in (".", ".."):
        return
    info = tarfile.TarInfo(name)
    info.mtime, info.size, info.mode = EPOCH, size, int(mode, 8)
    entry = Entry(path=name, mode=mode, size=size, sha256="0" * 64)
    assert header(entry) == info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def test_without_the_fast_compressor_it_is_the_same_bundle(root: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['isal'] = None\n"
        "from pathlib import Path\n"
        "from flyte_build.bundler.archive import archive\n"
        "from flyte_build.bundler.tree import SourceTree, list_tree\n"
        "root = Path(sys.argv[1])\n"
        "print(archive(list_tree(SourceTree(root=root)).manifest, root, Path(sys.argv[2])).parcel.digest)"
    )
    command = [sys.executable, "-c", code, str(root), str(tmp_path / "slow.tar.gz")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    fast = packed(root, tmp_path / "fast.tar.gz")
    assert said == str(fast.parcel.digest)
    slow = gzip.decompress((tmp_path / "slow.tar.gz").read_bytes())
    assert slow == gzip.decompress((tmp_path / "fast.tar.gz").read_bytes())
