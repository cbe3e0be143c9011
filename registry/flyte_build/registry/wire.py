"""One request and one answer, as values, and whoever sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flyte_build.registry.verify import Reader, excerpt


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A body of `size` bytes that is made while it is sent. `chunks` starts from the beginning each time."""

    size: int
    chunks: Callable[[], Iterator[bytes]] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`read` takes the body of a 2xx answer; other bodies are kept up to 64 KiB. `timeout` is for the whole answer.

    `repeatable` says whether sending it again is harmless where its method does not (RFC 9110 section 9.2.1).
    `start` is how many bytes of the content are here already: only what follows reaches `read`. `seclusion` is how
    private the address that answers may be (see `guard`), None for a place that the user named.
    """

    method: str
    # Signed URLs and Authorization are secrets.
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | Streamed | None = field(default=None, repr=False)
    read: Reader = field(default_factory=excerpt, repr=False)
    timeout: float | None = None
    repeatable: bool | None = None
    start: int = 0
    seclusion: int | None = None

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.method in ("GET", "HEAD")

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it again is harmless whatever happened to the first."""
        return self.is_read if self.repeatable is None else self.repeatable


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An answer with its body read; `url` is the one that answered.

    `seclusion` is how private the address was that answered, None when a proxy stood in between.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    seclusion: int | None = None

    def header(self, name: str) -> str:
        """The header, or an empty string; repeated ones are joined with commas."""
        return self.headers.get(name) or ""


class Transport(Protocol):
    """What sends. Raises RegistryError where there is no HTTP answer; any status is an answer."""

    def send(self, request: Request) -> Response: ...
