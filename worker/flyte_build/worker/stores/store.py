"""What the service asks of the place that keeps uploads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flyte_build.worker.stores.keys import ObjectKey

# What one PUT may bring, and what parts may be joined to, in bytes.
MAX_OBJECT = 100 * 2**20
MAX_JOINED = 5 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUpload:
    """Where to PUT: `url` is a secret until `expires` (seconds since 1970); `exists` says that it is there already.

    `headers` must go with the PUT, because they are signed too.
    """

    url: str = field(repr=False)
    expires: int
    exists: bool
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedDownload:
    """Where to GET: `url` is a secret until `expires` (seconds since 1970)."""

    url: str = field(repr=False)
    expires: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An object that is there: its size in bytes, and when it came (seconds since 1970)."""

    key: ObjectKey
    size: int
    since: float


class Store(Protocol):
    """Objects by key; an object never changes once it is there."""

    def open(self) -> None:
        """Makes ready what lasts; called once, before anything else."""
        ...

    def sign_put(self, key: ObjectKey, md5: bytes, *, seconds: int, size: int) -> SignedUpload:
        """Leave to PUT content with this MD5 for `seconds`; `size` in bytes, 0 when unknown.

        ServiceConflict when something else is there.
        """
        ...

    def sign_get(self, key: ObjectKey, *, seconds: int) -> SignedDownload:
        """Leave to GET the object for `seconds`; ServiceError when it is missing."""
        ...

    def join(self, key: ObjectKey, md5: bytes, parts: Sequence[ObjectKey]) -> bool:
        """Makes the object of `parts`, which go; False, and nothing changed, if they do not give this MD5."""
        ...

    def write(self, key: ObjectKey, data: bytes) -> None:
        """Keeps `data` under `key`; the same again is fine, ServiceConflict when something else is there."""
        ...

    def read(self, key: ObjectKey, limit: int) -> bytes:
        """The object's bytes; ServiceError when it is missing, ServiceTooLarge over `limit`."""
        ...

    def sha256(self, key: ObjectKey, limit: int = MAX_JOINED) -> str:
        """The SHA-256 (hex) of the object; ServiceError when it is missing, ServiceTooLarge over `limit` bytes."""
        ...

    def fetch(self, key: ObjectKey, destination: Path) -> str:
        """Copies the object to a new file and returns its SHA-256 (hex); ServiceError when it is missing."""
        ...

    def local_path(self, key: ObjectKey) -> Path:
        """A file or directory of this machine that holds the object, for a read-only mount; ServiceError if none."""
        ...

    def held(self) -> Iterator[Held]:
        """Everything that is there."""
        ...

    def remove(self, key: ObjectKey) -> None:
        """Removes an object; nothing happens when it is gone."""
        ...
