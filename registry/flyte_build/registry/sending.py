"""One blob under way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flyte_build.registry.blob import Blob
from flyte_build.registry.errors import RegistryError
from flyte_build.registry.names import Repository
from flyte_build.registry.progress import Moved, Progress
from flyte_build.registry.wire import Response, Streamed


class Again(Exception):
    """A step did not work out and another may; `response` is the answer, None for a broken connection."""

    def __init__(self, error: RegistryError, response: Response | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.response = response

    @property
    def retry_after(self) -> str:
        """What the answer asked for."""
        return self.response.header("retry-after") if self.response else ""


class OnlyWhole(Exception):
    """The registry takes no pieces."""


@dataclass(slots=True)
class Sending:
    """Where a blob's upload is (an empty location: there is none) and how far it is."""

    repository: Repository
    blob: Blob
    progress: Progress
    chunk: int
    location: str = ""
    done: int = 0

    @property
    def total(self) -> int:
        return self.blob.descriptor.size

    @property
    def is_whole(self) -> bool:
        """Whether it goes in one piece."""
        return self.total <= self.chunk

    @property
    def action(self) -> str:
        """What is tried, for an error."""
        return f"cannot push the blob {self.repository}@{self.blob.descriptor.digest}"

    def moved(self, done: int) -> None:
        """So many bytes are the registry's."""
        self.done = done
        self._tell(done)

    def restart(self, chunk: int = 0) -> None:
        """From the beginning, in a new upload."""
        self.location = ""
        self.done = 0
        self.chunk = chunk or self.chunk

    def streamed(self, start: int, size: int) -> Streamed:
        """A part of the content as a body that tells how far it is."""

        def chunks() -> Iterator[bytes]:
            position = start
            for piece in self.blob.part(start, size):
                yield piece
                position += len(piece)
                self._tell(position)

        return Streamed(size=size, chunks=chunks)

    def _tell(self, done: int) -> None:
        self.progress(Moved(digest=self.blob.descriptor.digest, done=done, total=self.total))
