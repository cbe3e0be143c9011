"""One upload into a directory while it comes."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceConflict, ServiceDenied
from flyte_build.worker.stores.store import MAX_OBJECT

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from flyte_build.worker.stores.signing import Grant

_CHUNK = 2**20


class Incoming:
    """A file beside its place, linked there when its MD5 and size are what was signed (`exact`: not less)."""

    def __init__(self, path: Path, temporary: Path, grant: Grant, *, exact: bool = True) -> None:
        self._path = path
        self._temporary = temporary
        self._grant = grant
        self._limit = grant.size or MAX_OBJECT
        self._exact = exact
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def __enter__(self) -> Incoming:
        self._file = self._temporary.open("xb")
        return self

    def write(self, chunk: bytes) -> None:
        """ServiceDenied as soon as more came than was allowed."""
        self._size += len(chunk)
        if self._size > self._limit:
            raise ServiceDenied(f"EntityTooLarge: at most {self._limit} bytes may be uploaded here")
        self._md5.update(chunk)
        self._file.write(chunk)

    def commit(self) -> bool:
        """Puts the file in its place; false when the same content was there already.

        ServiceDenied when it is not what was signed, or something else is there.
        """
        self._file.close()
        if self._md5.hexdigest() != self._grant.md5 or (self._exact and self._grant.size not in (0, self._size)):
            raise ServiceDenied("BadDigest: the content does not have the MD5 and size that were signed")
        self._temporary.chmod(0o644)  # whatever the umask: a container's user must be able to read its mount
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # A link never replaces: what containers may already have mounted stays as it is.
            os.link(self._temporary, self._path)
        except (FileExistsError, NotADirectoryError) as error:
            if not self._path.is_file() or md5_of(self._path) != self._grant.md5:
                raise ServiceConflict("AlreadyExists: there is other content under this name") from error
            os.utime(self._path)  # it was wanted now: a day of rest begins anew
            return False
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # On a full disk closing fails as the write before it did, and that one was already said.
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)


def md5_of(path: Path) -> str:
    """The MD5 of a file (hex)."""
    return hexdigest(path, hashlib.md5(usedforsecurity=False))


def hexdigest(path: Path, digest: hashlib._Hash) -> str:
    """The digest of a file (hex), by `digest`."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
