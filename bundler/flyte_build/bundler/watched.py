"""A body that tells how it goes."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO


class Watched(io.BufferedIOBase):
    """A file that tells how much was read of it, and takes it back when it is closed before its end."""

    def __init__(self, file: BinaryIO, heard: Callable[[int], None]) -> None:
        self._file = file
        self._heard = heard
        self._told = 0
        self._ended = False

    def read(self, size: int | None = -1) -> bytes:
        data = self._file.read(-1 if size is None else size)
        self._ended = self._ended or not data
        self._told += len(data)
        self._heard(len(data))
        return data

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed and not self._ended:
            self._heard(-self._told)
        self._file.close()
        super().close()
