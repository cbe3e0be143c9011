"""Names of images: parse once, carry types.

Grammar: OCI distribution-spec 1.1 "Pulling manifests" for repository, tag and digest; Docker's familiar-name
rules (`distribution/reference`) for the host that is not written: `python:3.12` is `docker.io/library/python:3.12`.
`X.parse(str(x)) == x` for every type here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from flyte_build.registry.errors import InvalidName

DOCKER_HUB = "docker.io"
_HUB_ALIASES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_MAX_NAME = 255

_HOST = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_HAS_PORT = re.compile(r":[0-9]{1,5}\Z")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "sha512": re.compile(r"[0-9a-f]{128}")}


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`algorithm:hex`, sha256 or sha512 (OCI image-spec, descriptor.md "Digests")."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Raises InvalidName for another algorithm, wrong length or upper-case hex."""
        algorithm, separator, value = text.partition(":")
        pattern = _HEX.get(algorithm)
        if not separator or pattern is None or not pattern.fullmatch(value):
            raise InvalidName(f"{text!r} is not a digest", hint="a digest is sha256: and 64 lower-case hex digits")
        return cls(algorithm, value)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True, order=True)
class Registry:
    """A registry's host and, when written, port: `ghcr.io`, `127.0.0.1:5000`."""

    host: str

    @classmethod
    def parse(cls, text: str) -> Registry:
        """Raises InvalidName for anything but host[:port] (no scheme, no path)."""
        host = text.lower()
        port = host.rpartition(":")[2] if _HAS_PORT.search(host) else "1"
        if "@" in host:
            hint = "log in with `docker login`, or give --username NAME --password-stdin"
            raise InvalidName(f"'…{text[text.rindex('@') :]}' is a registry host with a user's name in it", hint=hint)
        if not _HOST.fullmatch(host) or not 0 < int(port) < 65536:
            raise InvalidName(
                f"{text!r} is not a registry host", hint="write it like ghcr.io or localhost:5000, without a scheme"
            )
        return cls(DOCKER_HUB if host in _HUB_ALIASES else host)

    @property
    def hostname(self) -> str:
        """The host without port and brackets: `127.0.0.1`, `::1`, `ghcr.io`."""
        host = _HAS_PORT.sub("", self.host)
        return host[1:-1] if host.startswith("[") else host

    @property
    def is_loopback(self) -> bool:
        """Whether the host can only be this machine; plain HTTP is allowed for nothing else."""
        if self.hostname == "localhost" or self.hostname.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.hostname).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.host


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """A registry and a path in it: `ghcr.io/acme/train`."""

    registry: Registry
    path: str

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Docker's rule for the first part: it is a host if it has a dot or a colon or is `localhost`.

        Raises InvalidName for upper case, empty parts, or more than 255 characters.
        """
        first, slash, rest = text.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = Registry.parse(first), rest
        else:
            registry, path = Registry(DOCKER_HUB), text
        if registry.host == DOCKER_HUB and path and "/" not in path:
            path = f"library/{path}"
        if not path or not all(_COMPONENT.fullmatch(part) for part in path.split("/")):
            raise InvalidName(
                f"{text!r} is not a repository name",
                hint="use lower-case letters, digits and . _ - between slashes, like ghcr.io/acme/train",
            )
        if len(registry.host) + 1 + len(path) > _MAX_NAME:
            raise InvalidName(f"the repository name {text[:40]!r}… is longer than {_MAX_NAME} characters")
        return cls(registry, path)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def __str__(self) -> str:
        return f"{self.registry}/{self.path}"


def parse_tag(text: str) -> str:
    """`text` if it is a tag (at most 128 of `[A-Za-z0-9._-]`, not starting with . or -), else InvalidName."""
    if not _TAG.fullmatch(text):
        raise InvalidName(
            f"{text!r} is not a tag", hint="use up to 128 letters, digits and . _ -, not starting with . or -"
        )
    return text


@dataclass(frozen=True, slots=True)
class ImageName:
    """What a person writes: a repository with a tag, a digest, both or neither (then `latest` is meant)."""

    repository: Repository
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> ImageName:
        """Raises InvalidName with the part that is wrong."""
        rest, at, digest = text.partition("@")
        head, colon, tag = rest.rpartition(":")
        if not colon or "/" in tag:
            head, tag = rest, ""
            colon = ""
        return cls(
            Repository.parse(head),
            parse_tag(tag) if colon else None,
            Digest.parse(digest) if at else None,
        )

    @property
    def identifier(self) -> str:
        """What the registry's API is asked for: the digest if there is one, else the tag, else `latest`."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def pinned(self, digest: Digest) -> ImageReference:
        """The same repository at exactly this digest."""
        return ImageReference(self.repository, digest)

    def __str__(self) -> str:
        return f"{self.repository}{f':{self.tag}' if self.tag else ''}{f'@{self.digest}' if self.digest else ''}"


@dataclass(frozen=True, slots=True, order=True)
class ImageReference:
    """An image that cannot change: `host/repository@sha256:…`. What everyone downstream uses."""

    repository: Repository
    digest: Digest

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Raises InvalidName when `text` has no digest; a tag beside the digest is dropped."""
        name = ImageName.parse(text)
        if name.digest is None:
            raise InvalidName(f"{text!r} has no digest", hint="write it as host/repository@sha256:…")
        return cls(name.repository, name.digest)

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a build is pushed: a repository, and the tags that will name the digest there (first: the spec's)."""

    repository: Repository
    tags: tuple[str, ...] = field(default=())

    def names(self) -> tuple[ImageName, ...]:
        """One name per tag."""
        return tuple(ImageName(self.repository, tag) for tag in self.tags)

    def __str__(self) -> str:
        return f"{self.repository}:{self.tags[0]}" if self.tags else str(self.repository)
