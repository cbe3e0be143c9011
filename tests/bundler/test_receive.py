"""A corpus of archives from hostile and broken hands: each is refused in one sentence, and nothing stays."""

from __future__ import annotations

import gzip
import io
import os
import random
import resource
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyte_build.bundler import safe_tar
from flyte_build.bundler.archive import archive
from flyte_build.bundler.inflate import Inflater
from flyte_build.bundler.limits import MIB, ExtractLimits
from flyte_build.bundler.receive import extract
from flyte_build.bundler.tree import SourceTree, list_tree
from flyte_build.registry.errors import ArchiveError
from flyte_build.registry.names import Digest

from . import trees

Member = tuple[str, bytes, str]
FILE, LINK, HARD, FOLDER = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
LIMITS = ExtractLimits(unpacked_bytes=16 * MIB, members=100, ratio=100, ratio_floor=8 * MIB)


def tar_of(*members: Member, form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of (name, type, content or link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind, text in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755
            data = text.encode() if kind == FILE else b""
            info.size = len(data)
            info.linkname = "" if kind == FILE else text
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def patched(data: bytes, field: slice, text: bytes) -> bytes:
    """A one-member tar with one field of its header replaced, and the checksum made right."""
    header = bytearray(data[:512])
    header[field] = text
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + data[512:]


def sparse() -> bytes:
    """A regular file of one byte that PAX says is nine million."""
    info = tarfile.TarInfo("a")
    info.size = 1
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "9000000"}
    return info.tobuf(tarfile.PAX_FORMAT) + b"x" + bytes(511) + bytes(1024)


ONE = tar_of(("a", FILE, "x" * 100))
PAX = patched(tar_of(("a", FILE, "12 path=abc\n")), slice(156, 157), b"x")[:1024]
SIZE, NAME, TYPE = slice(124, 136), slice(0, 3), slice(156, 157)

HOSTILE = {
    "a name that goes up": ("leads out of it", gz(tar_of(("../evil", FILE, "x")))),
    "a name that goes up inside": ("leads out of it", gz(tar_of(("a/../../evil", FILE, "x")))),
    "a name that goes up and comes back": ("leads out of it", gz(tar_of(("a/../b", FILE, "x")))),
    "an absolute name": ("absolute name", gz(tar_of(("/tmp/evil", FILE, "x")))),
    "an absolute name with two slashes": ("absolute name", gz(tar_of(("//evil", FILE, "x")))),
    "an absolute link": ("link to an absolute path", gz(tar_of(("a", LINK, "/etc/passwd")))),
    "a link that goes up": ("a link that leads out of it", gz(tar_of(("a", LINK, "../evil")))),
    "a link that leads out through another": (
        "a link that leads out of it",
        gz(tar_of(("d/e", FOLDER, ""), ("s", LINK, "d/e"), ("x", LINK, "s/../../../evil"))),
    ),
    "a link that leads out through a later one": (
        "the link 'x', which leads out of it",
        gz(tar_of(("x", LINK, "d/s/../../evil"), ("d/s", LINK, "../d"))),
    ),
    "a file written through a link": (
        "as a folder and as something else",
        gz(tar_of(("a", LINK, "."), ("a/x", FILE, "x"))),
    ),
    "a file that replaces a link": ("twice", gz(tar_of(("a", LINK, "b"), ("a", FILE, "x")))),
    "a folder that replaces a link": (
        "as a folder and as something else",
        gz(tar_of(("a", LINK, "b"), ("a", FOLDER, ""), ("a/x", FILE, "x"))),
    ),
    "a link that replaces a folder": ("twice", gz(tar_of(("a", FOLDER, ""), ("a", LINK, "b")))),
    "a hard link to the outside": ("link to an absolute path", gz(tar_of(("a", HARD, "/etc/passwd")))),
    "a hard link that goes up": ("a link that leads out of it", gz(tar_of(("a", HARD, "../evil")))),
    "a hard link to nothing": ("which is no file before it", gz(tar_of(("a", HARD, "b")))),
    "a hard link to a link": ("which is no file before it", gz(tar_of(("b", LINK, "c"), ("a", HARD, "b")))),
    "a character device": ("special file", gz(tar_of(("null", tarfile.CHRTYPE, "")))),
    "a block device": ("special file", gz(tar_of(("sda", tarfile.BLKTYPE, "")))),
    "a pipe": ("special file", gz(tar_of(("pipe", tarfile.FIFOTYPE, "")))),
    "a type that nobody knows": ("special file", gz(patched(ONE, TYPE, b"Z"))),
    "a sparse file": ("neither a file, a folder nor a link", gz(patched(ONE, TYPE, b"S"))),
    "a sparse file by its PAX headers": ("neither a file, a folder nor a link", gz(sparse())),
    "a contiguous file": ("neither a file, a folder nor a link", gz(patched(ONE, TYPE, b"7"))),
    "a name twice": ("twice", gz(tar_of(("a", FILE, "x"), ("a", FILE, "y")))),
    "a name twice in another spelling": ("twice", gz(tar_of(("a/b", FILE, "x"), ("./a//b", FILE, "y")))),
    "a file that is also a folder": (
        "as a folder and as something else",
        gz(tar_of(("a", FILE, "x"), ("a/b", FILE, "y"))),
    ),
    "a name that is not UTF-8": ("not UTF-8", gz(patched(ONE, NAME, b"a\xff\0"))),
    "a name that is too long": ("too deep or too long", gz(tar_of(("/".join(["x" * 200] * 6), FILE, "x")))),
    "a part of a name that is too long": ("File name too long", gz(tar_of(("x" * 300, FILE, "x")))),
    "a name that is too deep": ("too deep or too long", gz(tar_of(("d/" * 65 + "x", FILE, "x")))),
    "too many members": ("more than 100 members", gz(tar_of(*((f"{n}", FILE, "") for n in range(101))))),
    "a bomb of zeros": ("more than 100 times its size", gz(tar_of(("a", FILE, "\0" * 9 * MIB)))),
    "more bytes than allowed": (
        "unpacks to more than 16 MiB",
        gz(tar_of(("a", FILE, random.Random(1).randbytes(MIB // 2).hex() + "\0" * 16 * MIB))),
    ),
    "a PAX header of a gigabyte": (
        "larger than 256 KiB",
        gz(patched(patched(ONE, TYPE, b"x"), SIZE, b"10000000000\0")),
    ),
    "a GNU long name of a gigabyte": (
        "larger than 256 KiB",
        gz(patched(patched(ONE, TYPE, b"L"), SIZE, b"10000000000\0")),
    ),
    "a PAX header after a PAX header after a PAX header": ("is damaged", gz(PAX * 2000 + ONE)),
    "a size that is negative": ("is truncated|is damaged", gz(patched(ONE, SIZE, b"\xff" * 12))),
    "a size larger than the archive": ("is damaged", gz(patched(ONE, SIZE, b"00000100000\0"))),
    "a checksum that is wrong": ("is damaged", gz(ONE[:148] + b"000000\0 " + ONE[156:])),
    "a second header that is wrong": ("its tar has no end", gz(ONE[:1024] + b"junk" * 128 + ONE[1024:])),
    "no end of the tar": ("its tar has no end", gz(ONE[:1024])),
    "half a header": ("is damaged", gz(ONE[:300])),
    "half a content": ("is damaged", gz(ONE[:560])),
    "data after the end of the tar": ("data after its end", gz(ONE + b"hidden")),
    "a second tar after the first": ("data after its end", gz(ONE + ONE)),
    "data after the gzip": ("data after its end", gz(ONE) + b"hidden"),
    "a second gzip after the first": ("data after its end", gz(ONE) + gz(ONE)),
    "a gzip cut in its trailer": ("gzip has no end", gz(ONE)[:-4]),
    "a gzip cut in the middle": ("gzip has no end", gz(ONE)[:60]),
    "a gzip with another checksum": ("not a gzip", gz(ONE)[:-8] + b"\0" * 8),
    "a gzip with a flipped bit": ("not a gzip", gz(ONE)[:20] + bytes([gz(ONE)[20] ^ 16]) + gz(ONE)[21:]),
    "a plain tar": ("not a gzip", ONE),
    "a zlib stream": ("not a gzip", zlib.compress(ONE)),
    "an empty file": ("gzip has no end", b""),
    "an empty gzip": ("is damaged", gz(b"")),
}


@pytest.mark.parametrize(("why", "data"), [pytest.param(*case, id=name) for name, case in HOSTILE.items()])
def test_an_archive_is_refused_with(tmp_path: Path, why: str, data: bytes) -> None:
    work = trees.make(tmp_path / "work", {"b.tar.gz": data})
    with pytest.raises(ArchiveError, match=why) as caught:
        extract(work / "b.tar.gz", work / "out", limits=LIMITS)
    assert "\n" not in caught.value.sentence
    # Who sent it may be somebody else than who unpacks it; only what the file system refuses names a place.
    assert str(tmp_path) not in caught.value.sentence or "cannot be unpacked as" in caught.value.sentence
    assert [path.name for path in work.iterdir()] == ["b.tar.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


def test_a_header_is_not_read_into_memory_because_it_says_so(tmp_path: Path) -> None:
    header = patched(patched(ONE, TYPE, b"x"), SIZE, b"%011o\0" % (4 * MIB))[:512]
    (tmp_path / "b.tar.gz").write_bytes(gz(header + b"x" * 4 * MIB + ONE))
    with pytest.raises(ArchiveError, match="a header that is larger than 256 KiB"):
        extract(tmp_path / "b.tar.gz", tmp_path / "out", limits=LIMITS)


FINE = {
    "folders, links and hard links": tar_of(
        ("./", FOLDER, ""), ("./d/", FOLDER, ""), ("d/x", FILE, "x"), ("l", LINK, "d/x"), ("h", HARD, "d/x")
    ),
    "a link to a later file": tar_of(("l", LINK, "d/x"), ("d/x", FILE, "x")),
    "the GNU form": tar_of(("x" * 120, FILE, "x"), form=tarfile.GNU_FORMAT),
    "absolute paths as the SDK spells them": tar_of(("_flyte_abs_context/home/me/app/main.py", FILE, "x")),
    "padding to a record": ONE + bytes(10240),
    "a folder twice": tar_of(("d", FOLDER, ""), ("d/", FOLDER, ""), ("d/x", FILE, "x")),
}


@pytest.mark.parametrize("tar", [pytest.param(tar, id=name) for name, tar in FINE.items()])
def test_an_archive_is_received_with(tmp_path: Path, tar: bytes) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gz(tar))
    manifest = extract(tmp_path / "b.tar.gz", tmp_path / "out", limits=LIMITS)
    assert list_tree(SourceTree(root=tmp_path / "out")).manifest == manifest
    with tarfile.open(fileobj=io.BytesIO(tar)) as judge:
        assert len(manifest.entries) == len([member for member in judge if not member.isdir()])


def test_data_after_the_gzip_is_found_also_where_a_read_ends_before_it() -> None:
    whole = gz(ONE)

    class Apart(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            left = len(whole) - self.tell()
            return super().read(left if left > 0 else size)

    stream = Inflater(Apart(whole + b"hidden"), LIMITS)
    while stream.read(512):
        pass
    with pytest.raises(ArchiveError, match="data after its end"):
        stream.finish()


def test_a_small_file_of_zeros_is_no_bomb(tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gz(tar_of(("a", FILE, "\0" * 2 * MIB))))
    assert extract(tmp_path / "b.tar.gz", tmp_path / "out", limits=LIMITS).total_bytes == 2 * MIB


@given(trees.trees())
def test_what_was_packed_comes_out(tree: dict[str, tuple[bytes, bool]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = trees.make(Path(place) / "in", {path: content for path, (content, _) in tree.items()})
        for path, (_, executable) in tree.items():
            (root / path).chmod(0o755 if executable else 0o644)
        manifest = list_tree(SourceTree(root=root)).manifest
        bundle = archive(manifest, root, Path(place) / "b.tar.gz")
        out = Path(place) / "out"
        assert extract(bundle.path, out, expected=manifest.digest) == manifest
        assert list_tree(SourceTree(root=out)).manifest == manifest


def test_a_disk_that_takes_no_more_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    data = gz(tar_of(("a", FILE, "x"), ("d/b", FILE, "y" * 200_000)))
    work = trees.make(tmp_path / "work", {"b.tar.gz": data})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ArchiveError, match=r"b\.tar\.gz cannot be unpacked as .*: File too large"):
            extract(work / "b.tar.gz", work / "out", limits=LIMITS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in work.iterdir()] == ["b.tar.gz"]


def test_modes_of_a_stranger_become_two(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, mode in (("suid", 0o4777), ("open", 0o666), ("closed", 0o000)):
            info = tarfile.TarInfo(name)
            info.mode = mode
            tar.addfile(info)
    (tmp_path / "b.tar.gz").write_bytes(gz(out.getvalue()))
    extract(tmp_path / "b.tar.gz", tmp_path / "out")
    modes = {path.name: path.stat().st_mode & 0o7777 for path in (tmp_path / "out").iterdir()}
    assert modes == {"suid": 0o755, "open": 0o644, "closed": 0o644}


def test_another_bundle_than_the_expected_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gz(ONE))
    expected = Digest("sha256", "0" * 64)
    with pytest.raises(ArchiveError, match=f"{expected} was expected"):
        extract(tmp_path / "b.tar.gz", tmp_path / "out", expected=expected)
    assert not (tmp_path / "out").exists()


def _file(path: Path) -> None:
    path.write_text("")


def _full_folder(path: Path) -> None:
    trees.make(path, {"x": ""})


@pytest.mark.parametrize(
    "there", [pytest.param(_file, id="a file"), pytest.param(_full_folder, id="a folder that holds something")]
)
def test_nothing_is_unpacked_over(tmp_path: Path, there: Callable[[Path], None]) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gz(ONE))
    there(tmp_path / "out")
    with pytest.raises(ArchiveError, match="cannot be unpacked"):
        extract(tmp_path / "b.tar.gz", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar.gz", "out"]


def test_every_python_has_the_filter() -> None:
    """Debian 12's 3.11.2 has it only in the backport."""
    assert callable(safe_tar.tarfile.data_filter)


def test_an_archive_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.tar.gz").write_bytes(gz(tar_of(("a", FILE, os.urandom(2 * MIB).hex()))))
    with pytest.raises(ArchiveError, match="larger than 1 MiB"):
        extract(tmp_path / "b.tar.gz", tmp_path / "out", limits=ExtractLimits(archive_bytes=MIB))


RICH = tar_of(
    *(("d", FOLDER, ""), ("d/x", FILE, "x" * 600), ("d/" + "é" * 90, FILE, "y"), ("l", LINK, "d/x"), ("h", HARD, "d/x"))
)


# How often each fuzzer runs: 4 times as often as a property is tried; FLYTE_BUILD_FUZZ asks for more.
FUZZ = settings(max_examples=int(os.environ.get("FLYTE_BUILD_FUZZ", "0")) or 4 * settings().max_examples)


@FUZZ
@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    """A fuzzer: bytes of a tar are overwritten, then it is compressed so that the damage gets as far as it can."""
    damaged = bytearray(RICH)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(RICH) - 1))
        piece = data.draw(
            st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from([b"../", b"/", b"..", b"7" * 11]))
        )
        damaged[at : at + len(piece)] = piece
    with tempfile.TemporaryDirectory() as place:
        work = trees.make(Path(place) / "work", {"b.tar.gz": gz(bytes(damaged))})
        try:
            extract(work / "b.tar.gz", work / "out", limits=LIMITS)
        except ArchiveError:
            assert [path.name for path in work.iterdir()] == ["b.tar.gz"]
        else:
            for path in (work / "out").rglob("*"):
                assert path.resolve().is_relative_to(work.resolve() / "out")
        assert [path.name for path in Path(place).iterdir()] == ["work"]


_PARTS = st.sampled_from(["a", "b", "A", "..", ".", "", "é", "x" * 130, "c\n", "\udc80"])
_NAMES = st.builds(
    lambda start, parts, end: start + "/".join(parts) + end,
    st.sampled_from(["", "/", "./", "//"]),
    st.lists(_PARTS, min_size=1, max_size=4),
    st.sampled_from(["", "/"]),
)
_KINDS = st.sampled_from(
    [FILE, FILE, FILE, FOLDER, LINK, LINK, HARD, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"7", b"S", b"Z"]
)


@st.composite
def _members(draw: st.DrawFn) -> tarfile.TarInfo:
    info = tarfile.TarInfo(draw(_NAMES))
    info.type = draw(_KINDS)
    info.linkname = draw(_NAMES) if info.type in (LINK, HARD) else ""
    info.size = draw(st.sampled_from([0, 0, 5, 600])) if info.type == FILE else 0
    info.mode = draw(st.sampled_from([0o644, 0o755, 0o4777, 0, 0o1000]))
    info.pax_headers = draw(
        st.sampled_from(
            [
                {},
                {},
                {},
                {"path": "../x"},
                {"linkpath": "/etc"},
                {"size": "3"},
                {"GNU.sparse.size": "9"},
                {"mtime": "nan"},
            ]
        )
    )
    return info


@FUZZ
@given(st.lists(_members(), max_size=6), st.sampled_from((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)))
def test_any_members_are_refused_or_harmless(members: list[tarfile.TarInfo], form: Literal[1, 2]) -> None:
    """A fuzzer: valid tars of the members that somebody would make who means harm."""
    tar = bytearray()
    for info in members:
        try:
            tar += info.tobuf(form, "utf-8", "surrogateescape") + b"y" * info.size + bytes(-info.size % 512)
        except ValueError:
            continue
    with tempfile.TemporaryDirectory() as place:
        work = trees.make(Path(place) / "work", {"b.tar.gz": gz(bytes(tar + bytes(1024)))})
        try:
            manifest = extract(work / "b.tar.gz", work / "out", limits=LIMITS)
        except ArchiveError:
            assert [path.name for path in work.iterdir()] == ["b.tar.gz"]
        else:
            assert {entry.path for entry in manifest.entries} == {
                path.relative_to(work / "out").as_posix()
                for path in (work / "out").rglob("*")
                if path.is_symlink() or not path.is_dir()
            }
            for path in (work / "out").rglob("*"):
                assert Path(os.path.realpath(path)).is_relative_to(work.resolve() / "out")
                assert path.is_symlink() or path.stat().st_mode & 0o7022 == 0
        assert [path.name for path in Path(place).iterdir()] == ["work"]
