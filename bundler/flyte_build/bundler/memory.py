"""What was read before, so that an unchanged tree costs no more than its walk.

One file per tree: a header (what the whole tree was, in one line) and a table of its files (status and sha256 of each,
in columns), each under a checksum; it is written beside and renamed. A file that cannot be used is as good as none. A
row counts only while size, times, inode and mode are what they were *and* the file had rested when it was read: a file
system's clock ticks too slowly to tell two changes within `RACY` apart (git calls such files racily clean).
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from flyte_build.bundler.found import Found, entry_of
from flyte_build.bundler.manifest import Entry
from flyte_build.bundler.upkeep import reading, replace
from flyte_build.bundler.walk import Walk
from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import Digest

# Another version finds nothing of this one. Raise it also when the rules of `junk` change.
VERSION = "3"
RACY = 2_000_000_000
_MAX_BYTES = 256 << 20
_NEVER = -1


class Row(NamedTuple):
    """A file that was read: in which of the tree's folders, its entry, and its status then."""

    home: int
    entry: Entry
    found: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the whole tree was when every status was as `signature` says. `size` is in bytes."""

    signature: str
    digest: Digest
    files: int
    size: int


def signature(walks: Iterable[Walk]) -> str:
    """One digest of every status that decides about a manifest (hex)."""
    hasher = hashlib.sha256()
    for one in walks:
        one.files.feed(hasher)
    return hasher.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """A table of files: for each its place in the columns, the numbers of its status, its sha256."""

    places: Mapping[tuple[int, str], int] = field(default_factory=dict)
    numbers: array[int] = field(default_factory=lambda: array("q"))
    digests: bytes = b""

    def row(self, home: int, found: Found) -> Row | None:
        """What is known of the file `found` in folder `home`, if it is as it was and had rested."""
        place = self.places.get((home, found.path))
        if place is None or tuple(self.numbers[5 * place : 5 * place + 5]) != found[1:]:
            return None
        return Row(home, entry_of(found, self.digests[32 * place : 32 * place + 32].hex()), found)

    @classmethod
    def parse(cls, table: bytes) -> Remembered:
        """What `_table` wrote, or nothing."""
        count, end = int.from_bytes(table[:8], "little"), 8
        homes, numbers, digests, names = (table[end : (end := end + size)] for size in _columns(count, len(table)))
        paths = names.decode(errors="surrogateescape").split("\0")[:-1]
        if len(paths) != count:
            return cls()
        places = {key: place for place, key in enumerate(zip(array("q", homes), paths, strict=True))}
        return cls(places=places, numbers=array("q", numbers), digests=digests)


def _columns(count: int, rest: int) -> tuple[int, ...]:
    """The bytes of each column of a table."""
    return 8 * count, 40 * count, 32 * count, rest


def _table(rows: Sequence[Row], rested: Sequence[bool]) -> bytes:
    """Homes, numbers, digests and names of `rows`. What had not rested gets a time that no file has."""
    numbers = array("q")
    for row, rest in zip(rows, rested, strict=True):
        found = row.found
        numbers.extend((found.size, found.mtime, found.ctime if rest else _NEVER, found.inode, found.mode))
    homes = array("q", [row.home for row in rows])
    digests = bytes.fromhex("".join([row.entry.sha256 for row in rows]))
    names = "\0".join([*(row.found.path for row in rows), ""]).encode(errors="surrogateescape")
    return b"".join((len(rows).to_bytes(8, "little"), homes.tobytes(), numbers.tobytes(), digests, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeMemory:
    """The memory of one tree, in the file `place`; None remembers nothing. `racy` is nanoseconds."""

    place: Path | None
    racy: int = RACY

    def unchanged(self, sign: str) -> Summary | None:
        """What the tree was, if it still is."""
        with reading(self.place) as file:
            header = _checked(file.readline(1 << 16)) if file else None
        if not isinstance(header, dict) or header.get("signature") != sign:
            return None
        try:
            digest, files, size = (header[name] for name in ("digest", "files", "size"))
            return Summary(signature=sign, digest=Digest.parse(digest), files=int(files), size=int(size))
        except (KeyError, TypeError, ValueError, FlyteBuildError):
            return None

    def files(self) -> Remembered:
        """Every file that was read."""
        with reading(self.place) as file:
            if not file or not _checked(file.readline(1 << 16)):
                return Remembered()
            check, table = file.read(hashlib.sha256().digest_size), file.read(_MAX_BYTES)
        return Remembered.parse(table) if hashlib.sha256(table).digest() == check else Remembered()

    def keep(self, summary: Summary, rows: Sequence[Row], began: int) -> None:
        """Remember a tree that was read from `began` (nanoseconds since 1970) on. A failure is no failure."""
        if self.place is None:
            return
        racy = began - self.racy
        rested = [max(row.found.mtime, row.found.ctime) < racy for row in rows]
        header = {
            "signature": summary.signature if all(rested) else "",
            "digest": str(summary.digest),
            "files": summary.files,
            "size": summary.size,
        }
        table = _table(rows, rested)
        replace(self.place, _line(header) + hashlib.sha256(table).digest() + table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything that is remembered on this machine, below `folder`; None remembers nothing.

    A file must have rested for `racy` nanoseconds: more than the coarsest clock of a file system (FAT: 2 s).
    """

    folder: Path | None = None
    racy: int = RACY

    def of_tree(self, roots: Sequence[Path], asked: Sequence[str]) -> TreeMemory:
        """The memory of a tree of these folders, of which these things were asked."""
        if self.folder is None:
            return TreeMemory(place=None)
        key = json.dumps([VERSION, [str(root) for root in roots], list(asked)])
        return TreeMemory(place=self.folder / "trees" / hashlib.sha256(os.fsencode(key)).hexdigest(), racy=self.racy)

    def of_archive(self, bundle: Digest) -> Mapping[str, object]:
        """What `keep_archive` was given for this bundle, or nothing."""
        if self.folder is None:
            return {}
        with reading(self.folder / "archives" / bundle.hex) as file:
            known = _checked(file.readline(1 << 16)) if file else None
        return known if isinstance(known, dict) else {}

    def keep_archive(self, bundle: Digest, known: Mapping[str, object]) -> None:
        """Remember texts and numbers about a bundle's archive."""
        if self.folder is not None:
            replace(self.folder / "archives" / bundle.hex, _line(known))


def _line(document: object) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def _checked(line: bytes) -> object:
    """The document of a line, or None when it is not what was written."""
    check, _, text = line.rstrip(b"\n").partition(b" ")
    if hashlib.sha256(text).hexdigest().encode() != check:
        return None
    found: object = json.loads(text)
    return found
