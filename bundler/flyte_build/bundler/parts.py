"""A large archive in parts, each an upload of its own: several at once, and none again that is there already.

Parts are named by the archive's MD5 and their number, so that an upload that was interrupted goes on where it was,
also from another machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.upload import Parcel
from flyte_build.registry.errors import UploadError

_AT_ONCE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`size` bytes of the file `archive` from `start` on, as `filename` below `root`."""

    archive: Path
    start: int
    size: int
    md5: bytes
    root: str
    filename: str

    def read(self) -> bytes:
        """The bytes. Raises UploadError when the file is not what it was."""
        data = _read(self.archive, self.start, self.size)
        if hashlib.md5(data, usedforsecurity=False).digest() != self.md5:
            raise UploadError(f"the archive {self.archive.name} changed while it was sent")
        return data


def part_name(parcel: Parcel, number: int) -> str:
    """The file name of a part, counted from 0."""
    return f"{parcel.filename}.parts/{parcel.md5.hex()}/{number:04d}"


def parts_of(parcel: Parcel, archive: Path, part_bytes: int) -> tuple[Part, ...]:
    """The parts of the file `archive`, in order."""
    return tuple(_part(parcel, archive, start, part_bytes) for start in range(0, parcel.archive_size, part_bytes))


def _part(parcel: Parcel, archive: Path, start: int, part_bytes: int) -> Part:
    data = _read(archive, start, part_bytes)
    return Part(
        archive=archive,
        start=start,
        size=len(data),
        md5=hashlib.md5(data, usedforsecurity=False).digest(),
        root=parcel.digest.hex,
        filename=part_name(parcel, start // part_bytes),
    )


def put_parts(parts: Sequence[Part], put: Callable[[Part], None]) -> None:
    """Put all, several at once. Raises what the first failure raises; what is under way is finished, no more begun."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting = [pool.submit(put, part) for part in parts]
        try:
            for done in waiting:
                done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _read(path: Path, start: int, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise UploadError(f"the archive {path.name} cannot be read: {error.strerror}") from error
