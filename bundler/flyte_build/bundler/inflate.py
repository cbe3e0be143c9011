"""Reading gzip from elsewhere: bounded in memory and in bytes, and complete to its last byte."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from flyte_build.bundler.limits import MIB, ExtractLimits
from flyte_build.registry.errors import ArchiveError

_CHUNK = 256 * 1024
# Tar headers are 512 bytes and PAX headers a few KiB. One that claims more wants our memory.
_MAX_READ = _CHUNK


class Inflater(io.RawIOBase):
    """The decompressed bytes of one gzip member, as a file that can only go forward.

    Raises ArchiveError when `limits` are passed, when the gzip is damaged or truncated, or when one read asks for
    more than 256 KiB. `last` is the latest read: how a tar ended.
    """

    def __init__(self, source: BinaryIO, limits: ExtractLimits) -> None:
        self._source = source
        self._limits = limits
        self._inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        self._buffer = b""
        self._taken = 0
        self._out = 0
        self._position = 0
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        if not 0 <= size <= _MAX_READ:
            raise ArchiveError("the archive has a header that is larger than 256 KiB")
        while len(self._buffer) < size and (more := self._inflate()):
            self._buffer += more
        self.last, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += len(self.last)
        return self.last

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Forward only, by reading."""
        if whence != io.SEEK_SET or offset < self._position:
            raise ArchiveError("the archive points back to an earlier place")
        while self._position < offset and self.read(min(offset - self._position, _CHUNK)):
            pass
        return self._position

    def finish(self) -> None:
        """Read to the end: only zeros may follow the tar, and nothing may follow the gzip. Raises ArchiveError."""
        while self.read(_CHUNK):
            if self.last.strip(b"\0"):
                raise ArchiveError("the archive has data after its end")
        if self._inflater.unused_data or self._source.read(1):
            raise ArchiveError("the archive has data after its end")

    def _inflate(self) -> bytes:
        """Some more bytes, or none at the end."""
        while not self._inflater.eof:
            data = self._inflater.unconsumed_tail or self._source.read(_CHUNK)
            self._taken += 0 if self._inflater.unconsumed_tail else len(data)
            if not data:
                raise ArchiveError("the archive is truncated: its gzip has no end")
            try:
                out = self._inflater.decompress(data, _CHUNK)
            except zlib.error as error:
                raise ArchiveError("the archive is damaged, or not a gzip") from error
            self._count(len(out))
            if out:
                return out
        return b""

    def _count(self, size: int) -> None:
        limits = self._limits
        self._out += size
        if self._taken > limits.archive_bytes:
            raise ArchiveError(f"the archive is larger than {limits.archive_bytes / MIB:.0f} MiB")
        if self._out > limits.unpacked_bytes:
            raise ArchiveError(f"the archive unpacks to more than {limits.unpacked_bytes / MIB:.0f} MiB")
        if self._out > limits.ratio_floor and self._out > limits.ratio * self._taken:
            raise ArchiveError(f"the archive unpacks to more than {limits.ratio} times its size, like a bomb")
