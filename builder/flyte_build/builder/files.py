"""Reading the user's files: what a digest is made of."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

from flyte_build.builder.limits import CONTEXT_LIMIT
from flyte_build.builder.plan import FileTree, PlanFile
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.errors import InvalidInput

_CHUNK = 1 << 20


def tree_of(files: Iterable[PlanFile], folders: Iterable[str] = ()) -> FileTree:
    """A tree, sorted as trees are."""
    return FileTree(files=tuple(sorted(files, key=lambda file: file.path)), folders=tuple(sorted(folders)))


def exists(path: Path) -> bool:
    """Whether there is anything. Raises OSError where that cannot be told: from 3.14 on pathlib says no to that."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read_text(path: Path, what: str, *, limit: int = 16 << 20) -> str:
    """The text of a small file. Raises InvalidInput that calls it `what` when it is missing, too large or not UTF-8."""
    if not path.is_file():
        if path.is_dir():
            raise InvalidInput(f"{what} {path.name!r} is a folder", hint="name a file")
        wrong = "is not a file" if exists(path) else "does not exist"
        raise InvalidInput(f"{what} {path.name!r} {wrong}", hint="paths are relative to the file of the spec")
    if path.stat().st_size > limit:
        raise InvalidInput(f"{what} {path.name!r} is larger than {limit >> 20} MiB", hint="name a smaller one")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} {path.name!r} is not UTF-8 text", hint="save it as UTF-8") from error


class FileSet:
    """Local files by sha256, filled while trees are read; becomes the context of a build.

    Once there is more than `limit` bytes, which no build may have, further files are counted and not read: `full`.
    """

    def __init__(self, limit: int = CONTEXT_LIMIT) -> None:
        self.sources: dict[str, Path] = {}
        self._limit = self._left = limit

    @property
    def full(self) -> bool:
        """Whether there is more than may be built; digests of what came after are none."""
        return self._left < 0

    def add(self, path: Path, name: str) -> PlanFile:
        """Hash one regular file as `name` (posix, relative). Raises InvalidInput when it cannot be read."""
        try:
            size = path.stat().st_size
            if self.full or size > self._limit:
                self._left = min(self._left, -1)
                return PlanFile(path=name, sha256=f"not read: {path}", size=size)
            # Many files are small: no buffer in between.
            with path.open("rb", buffering=0) as reader:
                status = os.fstat(reader.fileno())
                hasher, size = hashlib.sha256(), 0
                while chunk := reader.read(_CHUNK):
                    hasher.update(chunk)
                    size += len(chunk)
        except OSError as error:
            raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
        sha256 = hasher.hexdigest()
        if sha256 not in self.sources:
            self.sources[sha256] = path
            self._left -= size
        return PlanFile(path=name, executable=bool(status.st_mode & stat.S_IXUSR), sha256=sha256, size=size)

    def made(self, content: str, name: str) -> PlanFile:
        """A file whose content was made while resolving; it is kept in this machine's cache, under its digest."""
        data = content.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        place = cache_folder() / "made" / sha256
        try:
            if not place.is_file() or place.read_bytes() != data:
                place.parent.mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as writer:
                    writer.write(data)
                Path(writer.name).replace(place)
        except OSError as error:
            raise InvalidInput(
                f"{place} cannot be written: {error.strerror}", hint="set FLYTE_BUILD_CACHE to a folder you may write"
            ) from error
        self.sources.setdefault(sha256, place)
        return PlanFile(path=name, sha256=sha256, size=len(data))
