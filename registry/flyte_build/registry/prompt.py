"""Answers whose head comes in time.

A socket's timeout is for one read: a server that sends its status and headers a byte at a time would never run into it.
"""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class PromptResponse(HTTPResponse):
    """Raises TimeoutError when the head of the answer is not there after `patience` seconds."""

    patience: ClassVar[float] = 300.0

    def begin(self) -> None:
        """Reads status and headers (http.client's own step)."""
        timed = _Timed(self.fp.detach(), time.monotonic() + self.patience)
        self.fp = io.BufferedReader(timed)
        super().begin()
        # The body's readers look at the clock themselves.
        timed.end = None


class _Timed(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, end: float) -> None:
        self._raw = raw
        self.end: float | None = end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        if self.end is not None and time.monotonic() > self.end:
            raise TimeoutError
        return self._raw.readinto(buffer)

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()
