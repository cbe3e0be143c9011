"""Copies of remote objects on this machine's disk, to be mounted into containers."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flyte_build.worker.stores.keys import ObjectKey

_LIMIT = 4 << 30
_REST = 3600


class Copies:
    """Copies below `folder`, made in `new`; the longest unused go when there are over 4 GiB, none within an hour."""

    def __init__(self, folder: Path, new: Path, *, clock: Callable[[], float]) -> None:
        self._folder = folder
        self._new = new
        self._clock = clock

    def path(self, key: ObjectKey) -> Path:
        """Where the copy of an object (or of all objects below it) is."""
        return self._folder.joinpath(*key.parts)

    def bring(self, key: ObjectKey, save: Callable[[ObjectKey, int], object]) -> None:
        """Makes a copy if there is none; `save` writes the object to an open descriptor."""
        path = self.path(key)
        if path.is_file():
            with suppress(OSError):
                os.utime(path)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._new)
        try:
            save(key, descriptor)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            os.close(descriptor)
            Path(name).unlink(missing_ok=True)

    def shrink(self) -> None:
        """Removes what is too much; a container that has a copy mounted keeps it."""
        files = [(path.stat(), path) for path in self._folder.rglob("*") if path.is_file()]
        total = sum(status.st_size for status, _ in files)
        for status, path in sorted(files, key=lambda one: one[0].st_mtime):
            if total <= _LIMIT or self._clock() - status.st_mtime < _REST:
                return
            path.unlink(missing_ok=True)
            total -= status.st_size
