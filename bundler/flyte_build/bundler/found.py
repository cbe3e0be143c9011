"""What a walk found: the status of every file, in columns, because a tree has hundreds of thousands of them. Pure."""

from __future__ import annotations

import marshal
import stat
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from flyte_build.bundler.manifest import Entry, Mode

if TYPE_CHECKING:
    import hashlib
    import os


class Found(NamedTuple):
    """A regular file: `path` relative to the root, and the status that tells whether it has changed.

    Times are nanoseconds since 1970.
    """

    path: str
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int


def entry_of(found: Found, digest: str) -> Entry:
    """The entry of a file whose content has this sha256 (hex)."""
    mode: Mode = "0755" if found.mode & stat.S_IXUSR else "0644"
    return Entry(path=found.path, mode=mode, size=found.size, sha256=digest)


@dataclass(frozen=True, slots=True)
class Group:
    """The files of one folder: `prefix` is its path with a slash, `numbers` five for each name, as in `Found`."""

    prefix: str
    names: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("q"))

    def __iter__(self) -> Iterator[Found]:
        columns = (self.numbers[at::5] for at in range(5))
        for name, *numbers in zip(self.names, *columns, strict=True):
            yield Found(self.prefix + name, *numbers)


@dataclass(slots=True)
class Finds:
    """Everything that is in, the folders and the files of each in a fixed order once `sort` was called."""

    groups: list[Group] = field(default_factory=list)
    links: list[Entry] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Found]:
        for group in self.groups:
            yield from group

    @property
    def paths(self) -> Iterator[str]:
        """Every file and every link."""
        for group in self.groups:
            yield from (group.prefix + name for name in group.names)
        yield from (link.path for link in self.links)

    def __len__(self) -> int:
        return sum(len(group.names) for group in self.groups)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(sum(group.numbers[::5]) for group in self.groups)

    def sort(self) -> None:
        """The order in which folders were entered is no matter any more."""
        self.groups.sort(key=lambda group: group.prefix)
        self.links.sort(key=lambda link: link.path)
        self.secrets.sort()
        self.notes.sort()

    def feed(self, hasher: hashlib._Hash) -> None:
        """Every name and every number that decides about a manifest, in a form that can be read back in one way."""
        counts = [len(self.groups), len(self.links), *(len(group.names) for group in self.groups)]
        hasher.update(array("q", counts).tobytes())
        for group in self.groups:
            hasher.update(group.numbers.tobytes() + _text([group.prefix, *group.names]))
        hasher.update(_text([text for link in self.links for text in (link.path, link.link)]))

    def pack(self) -> bytes:
        """For another process; `unpack` is its inverse."""
        groups = [(group.prefix, group.names, group.numbers.tobytes()) for group in self.groups]
        links = [(link.path, link.link) for link in self.links]
        return marshal.dumps((groups, links, self.secrets, self.notes))

    def add(self, packed: bytes) -> None:
        """What another process found."""
        groups, links, secrets, notes = marshal.loads(packed)  # noqa: S302 - it comes from ourselves
        self.groups += [Group(prefix, names, array("q", numbers)) for prefix, names, numbers in groups]
        self.links += [Entry(path=path, mode="link", link=link) for path, link in links]
        self.secrets += secrets
        self.notes += notes


def _text(names: list[str]) -> bytes:
    # Neither names nor links hold a NUL.
    return "\0".join([*names, ""]).encode(errors="surrogateescape")


def numbers_of(status: os.stat_result) -> tuple[int, int, int, int, int]:
    """What `Found` says of a file after its path."""
    inode = status.st_ino & 0x7FFF_FFFF_FFFF_FFFF
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode, status.st_mode
