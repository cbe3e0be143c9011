"""Readers: what takes a body's chunks and gives its bytes, or stops as soon as they cannot be right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from flyte_build.registry.descriptors import Descriptor
from flyte_build.registry.errors import RegistryProtocol, RegistryUnavailable
from flyte_build.registry.names import Digest

Reader = Callable[[Iterator[bytes]], bytes]

MANIFEST_LIMIT = 4 * 1024 * 1024
CONFIG_LIMIT = 4 * 1024 * 1024
ANSWER_LIMIT = 64 * 1024


def digest_of(content: bytes, algorithm: str = "sha256") -> Digest:
    """The digest of these bytes (OCI image-spec, descriptor.md)."""
    return Digest(algorithm, hashlib.new(algorithm, content).hexdigest())


def bounded(limit: int, subject: str) -> Reader:
    """At most `limit` bytes; more raise RegistryProtocol before they are kept."""

    def read(chunks: Iterator[bytes]) -> bytes:
        body = bytearray()
        for chunk in chunks:
            if len(body) + len(chunk) > limit:
                raise RegistryProtocol(f"the answer for {subject} is larger than {limit:,} bytes")
            body += chunk
        return bytes(body)

    return read


def verified(descriptor: Descriptor, limit: int, subject: str) -> Reader:
    """Exactly the content that `descriptor` names.

    Raises RegistryProtocol for more bytes or other bytes, RegistryUnavailable for fewer (the connection was cut).
    """
    if descriptor.size > limit:
        raise RegistryProtocol(f"{subject} is {descriptor.size:,} bytes, more than the {limit:,} that are accepted")
    inner = bounded(descriptor.size, subject)

    def read(chunks: Iterator[bytes]) -> bytes:
        body = inner(chunks)
        if len(body) < descriptor.size:
            raise RegistryUnavailable(f"{subject} was cut off after {len(body):,} of {descriptor.size:,} bytes")
        if digest_of(body, descriptor.digest.algorithm) != descriptor.digest:
            raise altered(subject, descriptor)
        return body

    return read


def altered(subject: str, descriptor: Descriptor) -> RegistryProtocol:
    """The error for content that is not what its name says."""
    return RegistryProtocol(
        f"the content of {subject} does not have the digest {descriptor.digest}",
        hint="the registry, or a proxy before it, serves damaged or altered content; push the image again",
    )


def excerpt(limit: int = ANSWER_LIMIT) -> Reader:
    """The first `limit` bytes: enough of an error's body to tell what it says."""

    def read(chunks: Iterator[bytes]) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk[: limit - len(body)]
            if len(body) >= limit:
                break
        return bytes(body)

    return read
