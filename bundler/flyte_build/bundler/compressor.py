"""One gzip member (RFC 1952) made by several threads; the same input gives the same bytes however many there are.

The input is cut into blocks of a fixed size, and where `cut` says so, each deflated on its own and ended by a sync
flush (RFC 1951; zlib.h, `Z_SYNC_FLUSH`), so that joined they are one deflate stream. Memory is bounded by the blocks
in flight. What was deflated elsewhere, in blocks of the same kind, can be added.

ISA-L deflates; without it zlib does, which gives other bytes for the same manifest (never another identity).
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

try:
    from isal import isal_zlib as zlib
except ImportError:  # a platform without wheels
    import zlib  # type: ignore[no-redef]

# Level and block are the pinned compressor: another value is another archive.
LEVEL = 2
BLOCK = 1024 * 1024
_THREADS = 8
# No name, no time, fastest algorithm, unknown system: nothing of this machine.
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
_LAST = b"\x03\x00"


# Whether a checksum of a stream can be had from those of its pieces.
CAN_JOIN = hasattr(zlib, "crc32_combine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflated:
    """Bytes that were deflated by `deflate`: their size and checksum (CRC-32), and what became of them."""

    size: int
    crc: int
    data: bytes


def deflate(data: bytes) -> Deflated:
    """`data` in blocks, as a `GzipWriter` would make of it between two cuts."""
    blocks = (deflate_block(data[start : start + BLOCK]) for start in range(0, len(data), BLOCK))
    return Deflated(size=len(data), crc=zlib.crc32(data), data=b"".join(blocks))


def deflate_block(data: bytes) -> bytes:
    """Raw deflate of one block, byte-aligned and not final."""
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, -15)
    return deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)


class GzipWriter:
    """Takes bytes by `write`, gives gzip to `sink` in order; use it as a context manager."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._threads = min(_THREADS, os.cpu_count() or 1)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._crc = 0
        self._size = 0
        self._flight: deque[Future[bytes]] = deque()

    def __enter__(self) -> GzipWriter:
        self._pool = ThreadPoolExecutor(self._threads)
        self._sink(_HEADER)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes) -> None:
        """Any number of bytes. Raises what `sink` raises."""
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting >= BLOCK:
            self._send_whole()

    def cut(self) -> None:
        """End the block here, whatever its size."""
        self._send_whole()
        if rest := b"".join(self._pieces):
            self._send(rest)
        self._pieces, self._waiting = [], 0

    def add(self, deflated: Deflated) -> None:
        """Blocks from elsewhere, after a cut. Only where `CAN_JOIN`."""
        self.cut()
        self._drain(0)
        self._crc = zlib.crc32_combine(self._crc, deflated.crc, deflated.size)
        self._size += deflated.size
        self._sink(deflated.data)

    def _send_whole(self) -> None:
        """Send every whole block that waits; keep the rest."""
        whole = b"".join(self._pieces)
        end = len(whole) - len(whole) % BLOCK
        for start in range(0, end, BLOCK):
            self._send(whole[start : start + BLOCK])
        self._pieces = [whole[end:]]
        self._waiting = len(whole) - end

    def _send(self, block: bytes) -> None:
        self._crc = zlib.crc32(block, self._crc)
        self._size += len(block)
        self._flight.append(self._pool.submit(deflate_block, block))
        self._drain(2 * self._threads)

    def _drain(self, left: int) -> None:
        while len(self._flight) > left:
            self._sink(self._flight.popleft().result())

    def _finish(self) -> None:
        self.cut()
        self._drain(0)
        self._sink(_LAST + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))
