"""Files of a cache: written beside and renamed, the oldest removed. What fails here is no failure of the caller's."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_MANY = 200
_log = logging.getLogger(__name__)


@contextmanager
def reading(path: Path | None) -> Iterator[BinaryIO | None]:
    """The open file, or None when there is none to be read."""
    try:
        file = path.open("rb") if path else None
    except OSError:
        file = None
    try:
        yield file
    finally:
        if file:
            file.close()


def replace(path: Path, data: bytes) -> None:
    """Make `path` hold `data` whole, or leave it; its folder keeps the newest 200 files."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _sweep(path.parent)
        descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        _log.debug("%s is not remembered: %s", path.name, error.strerror)


def _sweep(folder: Path) -> None:
    with os.scandir(folder) as entries:
        aged = sorted((entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in entries)
    for _, old in aged[: max(0, len(aged) - _MANY)]:
        with suppress(OSError):
            Path(old).unlink()
