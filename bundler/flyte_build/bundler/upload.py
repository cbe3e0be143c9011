"""The last arrow: an archive becomes a URI that a task's container can open.

Where it goes is an `Uploader`: Flyte's signed uploads (`signed`), with parts where the endpoint takes them, or a
registry. What is there already is not sent, and if it is remembered how an archive came out, not even made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.names import Digest

Kind = Literal["tgz", "pkl", "file"]
_FILENAMES: dict[Kind, str] = {"tgz": "bundle.tar.gz", "pkl": "bundle.pkl.gz", "file": "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is sent, whether or not it has been made on this machine.

    `digest` is the bundle's identity, `files` and `size` (bytes) what it holds; `archive_digest`, `archive_size` and
    the 16 bytes of `md5` are of the archive, for transport. A `file` is its own archive.
    """

    kind: Kind
    digest: Digest
    files: int
    size: int
    archive_digest: Digest
    archive_size: int
    md5: bytes

    @property
    def filename(self) -> str:
        """What it is called in a store."""
        return _FILENAMES[self.kind]

    def facts(self) -> dict[str, object]:
        """What `of_facts` reads: texts and numbers."""
        return {
            "kind": self.kind,
            "digest": str(self.digest),
            "files": self.files,
            "size": self.size,
            "archive_digest": str(self.archive_digest),
            "archive_size": self.archive_size,
            "md5": self.md5.hex(),
        }

    @classmethod
    def of_facts(cls, facts: Mapping[str, object]) -> Parcel | None:
        """The parcel of these facts, or None when they are not whole."""
        try:
            return cls(
                kind="pkl" if facts["kind"] == "pkl" else "tgz",
                digest=Digest.parse(str(facts["digest"])),
                files=int(str(facts["files"])),
                size=int(str(facts["size"])),
                archive_digest=Digest.parse(str(facts["archive_digest"])),
                archive_size=int(str(facts["archive_size"])),
                md5=bytes.fromhex(str(facts["md5"])),
            )
        except (KeyError, ValueError, FlyteBuildError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where an archive may be put, and what it is called from then on.

    `signed_url` and `headers` are credentials and never shown. `exists`: the store has exactly these bytes already;
    `joins`: it can make them of parts.
    """

    uri: str
    signed_url: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    exists: bool = False
    joins: bool = False


class Uploader(Protocol):
    """Somewhere that archives go."""

    def locate(self, parcel: Parcel) -> Location:
        """Ask for a place. Raises ServiceError when there is none to be had."""
        ...

    def put(self, parcel: Parcel, archive: Path, location: Location) -> str:
        """Bring the bytes of the file `archive` there; the URI. Raises UploadError when they did not arrive whole."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReference:
    """A bundle that is in its place: what a run is created with. `uploaded` is false when the store had it."""

    uri: str
    parcel: Parcel
    uploaded: bool

    def __str__(self) -> str:
        return self.uri


def upload(
    make: Callable[[], tuple[Parcel, Path]], uploader: Uploader, remembered: Parcel | None = None
) -> BundleReference:
    """Bring to its place what `make` makes, unless it is there; `remembered` is what it made the last time.

    The caller removes the file that `make` gave.
    """
    place = uploader.locate(remembered) if remembered else None
    if remembered and place and place.exists:
        return BundleReference(uri=place.uri, parcel=remembered, uploaded=False)
    parcel, path = make()
    # Another compressor makes other bytes, for which the place that was asked for is not good.
    if place is None or parcel != remembered:
        place = uploader.locate(parcel)
    uri = place.uri if place.exists else uploader.put(parcel, path, place)
    return BundleReference(uri=uri, parcel=parcel, uploaded=not place.exists)
