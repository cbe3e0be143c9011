"""What is in a bundle: the sorted list of (path, mode, size, sha256, link) whose digest is the bundle's identity.

Pure: values and their one encoding, canonical JSON (RFC 8259; keys sorted, no spaces, UTF-8). Every part is keyed
and delimited by JSON itself, so two different manifests never encode to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Literal, cast

from flyte_build.registry.errors import InvalidInput, InvalidTree
from flyte_build.registry.names import Digest

KIND = "flyte-build/manifest/1"
Mode = Literal["0644", "0755", "link"]
_FIELDS = frozenset({"path", "mode", "size", "sha256", "link"})
_quoted = json.JSONEncoder(ensure_ascii=False).encode
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file or symbolic link.

    `path` is relative, posix, without empty, `.` or `..` parts. A file has `mode` 0644 or 0755 (executable by its
    owner), its `size` in bytes and the hex `sha256` of its content; a link has `mode` "link" and the text of `link`,
    relative and inside the tree. Raises InvalidTree for anything else.
    """

    path: str
    mode: Mode
    size: int = 0
    sha256: str = ""
    link: str = ""

    def __post_init__(self) -> None:
        why = _path_fault(self.path)
        if not why and self.mode == "link":
            why = link_fault(self.path, self.link) or ("is a link with content" if self.size or self.sha256 else "")
        elif not why:
            why = _file_fault(self)
        if why:
            raise InvalidTree(f"{self.path!r} {why}, so it cannot be in a bundle", hint="rename it or leave it out")


def _path_fault(path: str) -> str:
    if "\0" in path:
        return "has a zero byte in its name"
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            return "has a name that is not UTF-8"
    parts = path.split("/")
    return "is not a plain relative path" if "" in parts or "." in parts or ".." in parts else ""


def _file_fault(entry: Entry) -> str:
    if entry.mode not in ("0644", "0755") or entry.link:
        return "has a mode that is neither 0644, 0755 nor link"
    if entry.size < 0 or not _SHA256.fullmatch(entry.sha256):
        return "has no sha256 and size"
    return ""


def link_fault(path: str, target: str) -> str:
    """Why a link at `path` may not point to `target`, or nothing. Looks at the text only, not at other links."""
    if not target or "\0" in target or target.startswith("/"):
        return f"links to {target!r}, which is not a relative path"
    try:
        target.encode()
    except UnicodeEncodeError:
        return f"links to {target!r}, which is not UTF-8"
    depth = path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else 0 if part in ("", ".") else 1
        if depth < 0:
            return f"links to {target!r}, outside of the tree"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """`entries`, sorted by path, no path twice, none below another one. Raises InvalidTree otherwise."""

    entries: tuple[Entry, ...]
    _total: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        paths = [entry.path for entry in self.entries]
        known = set(paths)
        if len(known) != len(paths) or paths != sorted(paths):
            raise InvalidTree("the entries of a manifest are not sorted by path, or a path is there twice")
        # One set of folders instead of a prefix test per pair: 100,000 entries take milliseconds.
        folders = {path[:end] for path in paths if (end := path.rfind("/")) > 0}
        both = known & folders.union(*map(_parents, folders))
        if both:
            raise InvalidTree(f"{min(both)!r} is both a file and a folder in the same manifest")
        object.__setattr__(self, "_total", sum(entry.size for entry in self.entries))

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Manifest:
        """A manifest of entries in any order."""
        return cls(entries=tuple(sorted(entries, key=attrgetter("path"))))

    @property
    def total_bytes(self) -> int:
        """The sum of all file sizes."""
        return self._total

    @property
    def digest(self) -> Digest:
        """sha256 of the canonical encoding: the identity of the bundle."""
        return Digest("sha256", hashlib.sha256(self.encode()).hexdigest())

    def largest(self, count: int) -> tuple[Entry, ...]:
        """The `count` largest files, largest first."""
        return tuple(sorted(self.entries, key=lambda entry: (-entry.size, entry.path))[:count])

    def encode(self) -> bytes:
        """The canonical encoding; `parse` is its inverse."""
        # What `json.dumps` gives of dicts with sorted keys, without 100,000 dicts.
        rows = ",".join(
            f'{{"link":{_quoted(e.link)},"mode":"{e.mode}","path":{_quoted(e.path)},"sha256":"{e.sha256}","size":{e.size}}}'
            for e in self.entries
        )
        return f'{{"entries":[{rows}],"kind":"{KIND}"}}'.encode()

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Raises InvalidInput (or InvalidTree for an entry) unless `data` is exactly what `encode` gives."""
        try:
            document = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise InvalidInput("this manifest is not JSON") from error
        if not isinstance(document, dict) or document.get("kind") != KIND:
            raise InvalidInput(f"this is not a manifest of the kind {KIND}")
        rows = document.get("entries")
        manifest = cls(entries=tuple(_entry(row) for row in rows)) if isinstance(rows, list) else None
        if manifest is None or manifest.encode() != data:
            raise InvalidInput("this manifest is not in its canonical form")
        return manifest


def _parents(path: str) -> Iterable[str]:
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _entry(row: object) -> Entry:
    if not isinstance(row, dict) or row.keys() != _FIELDS:
        raise InvalidInput("an entry of this manifest has other fields than path, mode, size, sha256 and link")
    texts = [row[name] for name in ("path", "mode", "sha256", "link")]
    if not all(isinstance(text, str) for text in texts) or type(row["size"]) is not int:
        raise InvalidInput("an entry of this manifest has a field of another type")
    path, mode, sha256, link = (str(text) for text in texts)
    return Entry(path=path, mode=cast("Mode", mode), size=row["size"], sha256=sha256, link=link)
