"""Who we are to a registry: values whose text never shows a secret."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import Registry
from flyte_build.registry.redact import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user name with a password, or an identity token (an OAuth2 refresh token, RFC 6749 section 6).

    `source` says where they were found, for people: "~/.docker/config.json". `expires_at` is in seconds since 1970,
    None where it is not known or never. `str` is the user name and the source.
    """

    source: str
    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    expires_at: float | None = None

    @property
    def basic(self) -> str:
        """The value of `Authorization` for RFC 7617; the user name and password are UTF-8."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def expires_within(self, seconds: float, now: float) -> bool:
        """Whether they are over, or will be in so many seconds."""
        return self.expires_at is not None and now + seconds >= self.expires_at

    def __str__(self) -> str:
        # What a helper or a file calls us is somebody else's text.
        who = "an identity token" if self.identity_token else plain(self.username, 80)
        return f"{who or 'nobody'} (from {self.source})"


class CredentialSource(Protocol):
    """A place where credentials may be found."""

    def for_registry(self, registry: Registry) -> Credentials | None:
        """None when it knows nothing about this registry; InvalidInput when it cannot be read."""
        ...


class Place(CredentialSource, Protocol):
    """A source that can say what it is."""

    @property
    def name(self) -> str:
        """For people: "Docker's configuration"."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one place had: credentials, nothing, or a reason why it could not be asked."""

    place: str
    found: Credentials | None = None
    failed: FlyteBuildError | None = None

    def __str__(self) -> str:
        return f"{self.place}: {self.found or self.failed or 'nothing for this registry'}"


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials that somebody gave for one registry; no other learns them. `name` says how, for people."""

    registry: Registry
    credentials: Credentials
    name: str

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Those that were given, if it is that registry."""
        return self.credentials if registry == self.registry else None


@dataclass(frozen=True, slots=True)
class Chain:
    """The first place that knows the registry answers."""

    places: tuple[Place, ...]

    def for_registry(self, registry: Registry) -> Credentials | None:
        """What the first place that has an answer says; if none has, what the first one that failed raised."""
        return _first(self.look(registry))

    def look(self, registry: Registry) -> Iterator[Looked]:
        """Asks one place after the other, each when the answer is wanted."""
        for place in self.places:
            try:
                yield Looked(place=place.name, found=place.for_registry(registry))
            except FlyteBuildError as error:
                yield Looked(place=place.name, failed=error)


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the places said about one registry, for whoever wants to know it again."""

    looked: tuple[Looked, ...]

    def for_registry(self, registry: Registry) -> Credentials | None:  # noqa: ARG002 - a source's signature
        """As the chain that was asked."""
        return _first(self.looked)


def _first(places: Iterable[Looked]) -> Credentials | None:
    failed = None
    for looked in places:
        if looked.found is not None:
            return looked.found
        failed = failed or looked.failed
    if failed is not None:
        raise failed
    return None
