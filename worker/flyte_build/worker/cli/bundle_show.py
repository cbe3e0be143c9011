"""What `flyte-build bundle` prints: the documented document, the tree of a dry run, progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import click

from flyte_build.bundler.refusals import size_of

if TYPE_CHECKING:
    from flyte_build.bundler.ignore import Verdict
    from flyte_build.bundler.manifest import Manifest
    from flyte_build.bundler.tree import Listing
    from flyte_build.bundler.upload import Parcel

_CLEAR = "\r\x1b[K"
_OFTEN = 0.1


def parcel_document(parcel: Parcel, uri: str) -> str:
    """The JSON document of a bundle that is where it should be."""
    return _document(
        kind=parcel.kind,
        digest=str(parcel.digest),
        archive_digest=str(parcel.archive_digest),
        files=parcel.files,
        bytes=parcel.size,
        archive_bytes=parcel.archive_size,
        uri=uri,
    )


def listing_document(listing: Listing) -> str:
    """The JSON document of a bundle that was not made."""
    return _document(
        kind="tgz",
        digest=str(listing.digest),
        archive_digest=None,
        files=listing.files,
        bytes=listing.size,
        archive_bytes=None,
        uri=None,
    )


def _document(**fields: str | int | None) -> str:
    return json.dumps({"version": 1, "bundle": fields})


def parcel_line(parcel: Parcel, done: str) -> str:
    """One line for a person: what it is, how large, and what happened to it."""
    what = f"{files_of(parcel.files)}, {size_of(parcel.size)}" if parcel.kind == "tgz" else "a pickle"
    return f"bundle {parcel.digest}: {what}, as {size_of(parcel.archive_size)}, {done}"


def files_of(count: int) -> str:
    """So many files, in words."""
    return f"{count} file{'' if count == 1 else 's'}"


def show_verdict(path: str, verdict: Verdict, *, as_json: bool) -> None:
    """Print why a path is in or out."""
    if as_json:
        click.echo(json.dumps({"version": 1, "explain": {"path": path, "in": verdict.kept, "why": verdict.why}}))
    else:
        click.echo(f"{shown(path)} is {'in' if verdict.kept else 'out'}: {shown(verdict.why)}")


def show_listing(listing: Listing, *, as_json: bool) -> None:
    """Print what would be in a bundle."""
    if as_json:
        click.echo(listing_document(listing))
        return
    for line in _tree_lines(listing.manifest):
        click.echo(line)
    click.echo(f"{size_of(listing.size):>10}  {files_of(listing.files)}, {listing.digest}")


def _tree_lines(manifest: Manifest) -> Iterable[str]:
    """One line per folder and file: its size, and its name indented below its folder."""
    sizes: dict[str, int] = {}
    for entry in manifest.entries:
        parts = entry.path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            sizes[folder] = sizes.get(folder, 0) + entry.size
    rows = [(tuple(folder.split("/")), size, "/") for folder, size in sizes.items()]
    for entry in manifest.entries:
        mark = f" -> {entry.link}" if entry.link else "*" if entry.mode == "0755" else ""
        rows.append((tuple(entry.path.split("/")), entry.size, mark))
    for names, size, mark in sorted(rows):
        yield f"{size_of(size):>10}  {'  ' * (len(names) - 1)}{shown(names[-1] + mark)}"


class Moved:
    """Told of bytes that moved, of `total` (0: nobody knows), it draws them: ten times a second on a terminal."""

    def __init__(self, verb: str, *, drawn: bool) -> None:
        self.total = 0
        self._verb, self._drawn = verb, drawn
        self._lock, self._went, self._next = Lock(), 0, 0.0

    def __call__(self, count: int) -> None:
        with self._lock:
            self._went += count
            if self._drawn and (now := time.monotonic()) >= self._next:
                self._next = now + _OFTEN
                self._draw()

    def end(self) -> None:
        """Draw where it ended, and take the line away."""
        if self._drawn:
            if self._went:
                self._draw()
            click.echo(_CLEAR, nl=False, err=True)

    def _draw(self) -> None:
        of = f" of {size_of(self.total)}" if self.total else ""
        click.echo(f"{_CLEAR}{self._verb} {size_of(self._went)}{of}", nl=False, err=True)


@contextmanager
def transfer(verb: str = "uploading") -> Iterator[Moved]:
    """Draws bytes that move on a terminal, and nowhere else."""
    moved = Moved(verb, drawn=sys.stderr.isatty())
    try:
        yield moved
    finally:
        moved.end()


def noted(*notes: str) -> None:
    """Say what a person should know, on stderr, in the place of a line that is being drawn."""
    clear = _CLEAR if sys.stderr.isatty() else ""
    for note in notes:
        click.echo(f"{clear}note: {shown(note)}", err=True)


def shown(text: str) -> str:
    """File names are anybody's text: no control characters reach a terminal."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
