"""What is particular about an object store: how its URLs are signed, and how it speaks of its objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flyte_build.worker.stores.http import SignedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The only content that a PUT may bring: 16 bytes of MD5, and its size in bytes (0 when it was not said)."""

    md5: bytes
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of a listing: (name, bytes, seconds since 1970) each; `after` asks for the next one, empty at the end."""

    objects: tuple[tuple[str, int, float], ...]
    after: str


class Signer(Protocol):
    """Signs requests for one bucket. Names are whole names in the bucket; nothing here sends anything."""

    @property
    def name(self) -> str:
        """The store as a person writes it, like `s3://bucket`; no secrets."""
        ...

    def sign(self, method: str, name: str, *, seconds: int, public: bool = False) -> SignedRequest:
        """A GET, HEAD or DELETE of one object; `public` for those who are not in the cluster."""
        ...

    def sign_put(self, name: str, content: Content, *, seconds: int, public: bool = False) -> SignedRequest:
        """A PUT of this content."""
        ...

    def sign_list(self, prefix: str, after: str, *, seconds: int) -> SignedRequest:
        """A page of the names that begin with `prefix`."""
        ...

    def listed(self, body: bytes) -> Listed:
        """The page in an answer. Raises ServiceError when it is none."""
        ...

    def md5(self, headers: Mapping[str, str]) -> bytes:
        """The MD5 that the store says an object has, from the headers of a HEAD; empty when it does not say."""
        ...
