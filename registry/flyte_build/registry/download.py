"""A file that appears only when it is complete and right."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.errors import RegistryProtocol, RegistryUnavailable
from flyte_build.registry.progress import Moved, Progress
from flyte_build.registry.verify import altered


class Download:
    """Written beside its place while it comes, hashed on the way, renamed at the end; gone when the block fails."""

    def __init__(self, path: Path, descriptor: Descriptor, subject: str, progress: Progress) -> None:
        self.subject = subject
        self.done = 0
        self.complete = False
        self._path = path
        self._partial = path.with_name(f".{path.name}.{os.urandom(6).hex()}.partial")
        self._descriptor = descriptor
        self._progress = progress
        self._hash = hashlib.new(descriptor.digest.algorithm)

    def __enter__(self) -> Download:
        self._file = self._partial.open("xb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.complete:
            with suppress(FileNotFoundError):
                self._partial.unlink()

    def take(self, chunks: Iterator[bytes]) -> bytes:
        """A reader: writes what comes, and stops at one byte too many. Returns nothing: it is in the file."""
        total = self._descriptor.size
        for chunk in chunks:
            if self.done + len(chunk) > total:
                raise RegistryProtocol(f"the answer for {self.subject} is larger than {total:,} bytes")
            self._file.write(chunk)
            self._hash.update(chunk)
            self.done += len(chunk)
            self._progress(Moved(digest=self._descriptor.digest, done=self.done, total=total))
        return b""

    def finish(self) -> None:
        """Puts the file in its place; RegistryUnavailable when it was cut off, RegistryProtocol when it is wrong."""
        if self.done < self._descriptor.size:
            raise RegistryUnavailable(
                f"{self.subject} was cut off after {self.done:,} of {self._descriptor.size:,} bytes"
            )
        if self._hash.hexdigest() != self._descriptor.digest.hex:
            raise altered(self.subject, self._descriptor)
        self._file.close()
        self._partial.replace(self._path)
        self.complete = True
