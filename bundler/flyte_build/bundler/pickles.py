"""A task or function as a pickle, with the project's modules inside it: what its name says, where it may be loaded.

The file is a gzip that any reader of `.pkl.gz` takes. Its header's comment (RFC 1952, FCOMMENT) holds the facts: which
Python and cloudpickle wrote it, and the sha256 of the pickle. The digest of the facts is the bundle's identity.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import sys
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from flyte_build.bundler.inflate import Inflater
from flyte_build.bundler.limits import MIB, BundleLimits, ExtractLimits
from flyte_build.bundler.output import writing
from flyte_build.bundler.upload import Parcel
from flyte_build.registry.errors import ArchiveError, InvalidInput
from flyte_build.registry.names import Digest

KIND = "flyte-build/pickle/1"
# Deflate, with a comment; no name, no time, unknown system.
_HEADER = b"\x1f\x8b\x08\x10\x00\x00\x00\x00\x00\xff"
_MAX_COMMENT = 4096
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PickleFacts:
    """What is known of a pickle without loading it: `python` is X.Y, `size` (bytes) and `sha256` are the pickle's."""

    object: str
    python: str
    cloudpickle: str
    size: int
    sha256: str

    @property
    def digest(self) -> Digest:
        """sha256 of the canonical encoding: the identity of the bundle."""
        return Digest("sha256", hashlib.sha256(self.encode()).hexdigest())

    def encode(self) -> bytes:
        """Canonical JSON in ASCII; `parse` is its inverse."""
        return json.dumps({"kind": KIND, **asdict(self)}, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def parse(cls, data: bytes) -> PickleFacts:
        """Raises ArchiveError unless `data` is what `encode` gives."""
        try:
            document = json.loads(data)
            kind = document.pop("kind")
            facts = cls(**document)
            texts = all(isinstance(text, str) for text in (facts.object, facts.python, facts.cloudpickle, facts.sha256))
            if kind == KIND and texts and type(facts.size) is int and facts.encode() == data:
                return facts
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            pass
        raise ArchiveError("this is not a pickle bundle of flyte-build: its header does not say what it is")


def this_python() -> str:
    """X.Y of the running Python, which a pickle is bound to."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def write_pickle(pickled: bytes, facts: PickleFacts, destination: Path, limits: BundleLimits | None = None) -> Parcel:
    """Write the bundle of `pickled` to `destination`, whole or not at all.

    Raises InvalidInput when it is over its limit, ArchiveError when it cannot be written.
    """
    limit = (limits or BundleLimits()).archive_bytes
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflater.compress(pickled) + deflater.flush()
    tail = struct.pack("<II", zlib.crc32(pickled), len(pickled) & 0xFFFFFFFF)
    data = _HEADER + facts.encode() + b"\0" + body + tail
    if len(data) > limit:
        raise InvalidInput(
            f"{facts.object} pickles to {len(data) / MIB:.1f} MiB, more than the {limit / MIB:.0f} MiB of a bundle",
            hint="load large data inside the task instead of holding it in a variable",
        )
    with writing(destination) as file:
        file.write(data)
    return Parcel(
        kind="pkl",
        digest=facts.digest,
        files=1,
        size=facts.size,
        archive_digest=Digest("sha256", hashlib.sha256(data).hexdigest()),
        archive_size=len(data),
        md5=hashlib.md5(data, usedforsecurity=False).digest(),
    )


def read_pickle(archive: Path, expected: Digest, limits: ExtractLimits | None = None) -> bytes:
    """The pickle in `archive`, which must be the bundle `expected` and made by this Python's minor version.

    Nothing is unpickled here. Raises ArchiveError for anything else, damaged or over `limits`.
    """
    limits = limits or ExtractLimits()
    try:
        with archive.open("rb") as file:
            facts = _facts(file.read(len(_HEADER) + _MAX_COMMENT))
            if facts.digest != expected:
                raise ArchiveError(f"the archive holds the bundle {facts.digest}, and {expected} was expected")
            if facts.python != this_python():
                raise ArchiveError(
                    f"{facts.object} was pickled by Python {facts.python}, and this is Python {this_python()}",
                    hint=f"use an image with Python {facts.python}, or bundle the source instead",
                )
            file.seek(0)
            pickled = _inflated(Inflater(file, limits), facts.size)
    except OSError as error:
        raise ArchiveError(f"{archive.name} cannot be read: {error.strerror}") from error
    if len(pickled) != facts.size or hashlib.sha256(pickled).hexdigest() != facts.sha256:
        raise ArchiveError("the archive is damaged: its pickle is not the one that its header names")
    return pickled


def _inflated(stream: Inflater, size: int) -> bytes:
    pieces, left = [], size
    while left > 0 and (piece := stream.read(min(left, 256 * 1024))):
        pieces.append(piece)
        left -= len(piece)
    stream.finish()
    return b"".join(pieces)


def _facts(head: bytes) -> PickleFacts:
    comment, end, _ = head[len(_HEADER) :].partition(b"\0")
    if not head.startswith(_HEADER) or not end:
        raise ArchiveError("this is not a pickle bundle of flyte-build: its header does not say what it is")
    return PickleFacts.parse(comment)
