"""Content on its way to a registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.verify import digest_of

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A descriptor, and what gives its bytes from an offset on, as often as it is asked."""

    descriptor: Descriptor
    open: Callable[[int], Iterator[bytes]] = field(repr=False)

    @classmethod
    def of_bytes(cls, content: bytes, media_type: str) -> Blob:
        """Content in memory."""
        descriptor = Descriptor(media_type=media_type, digest=digest_of(content), size=len(content))
        return cls(descriptor=descriptor, open=lambda start: _slices(content, start))

    @classmethod
    def of_file(cls, path: Path, descriptor: Descriptor) -> Blob:
        """A file that holds what `descriptor` says; the registry refuses it if it does not."""
        return cls(descriptor=descriptor, open=lambda start: _read(path, start))

    def part(self, start: int, size: int) -> Iterator[bytes]:
        """`size` bytes from `start` on; raises InvalidInput when there are fewer."""
        left = size
        for chunk in self.open(start):
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return
        if left > 0:
            raise InvalidInput(f"the content of {self.descriptor.digest} became shorter while it was sent")


def _slices(content: bytes, start: int) -> Iterator[bytes]:
    for position in range(start, len(content), _PIECE):
        yield content[position : position + _PIECE]


def _read(path: Path, start: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(_PIECE):
                yield chunk
    except OSError as error:
        # Not the network's: it must not be taken for a broken connection.
        raise InvalidInput(f"cannot read {path}: {(error.strerror or 'failed').lower()}") from error
