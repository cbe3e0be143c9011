"""The bytes that carry a manifest: a `.tar.gz` that is the same wherever and whenever it is made.

`tarring` makes the tar, `compressor` the gzip; here it is written, measured, limited and named.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.collector import uncollected
from flyte_build.bundler.compressor import GzipWriter
from flyte_build.bundler.limits import MIB, BundleLimits
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.refusals import too_large
from flyte_build.bundler.tarring import tar_chunks
from flyte_build.bundler.upload import Parcel
from flyte_build.registry.errors import ArchiveError
from flyte_build.registry.names import Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive on disk: where it is, which manifest it carries, and what is sent."""

    path: Path
    manifest: Manifest
    parcel: Parcel


def archive(
    manifest: Manifest,
    root: Path,
    destination: Path,
    limits: BundleLimits | None = None,
    *,
    homes: Mapping[str, Path] | None = None,
) -> Archive:
    """Write `manifest` with the content of the files below `root` (and `homes`) to `destination`, when complete.

    Raises InvalidTree when a file is no longer what the manifest says, or when the archive grows over its limit,
    naming the ten largest files; ArchiveError when the destination cannot be written. Nothing partial stays.
    """
    limit = (limits or BundleLimits()).archive_bytes
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
    except OSError as error:
        raise _unwritable(destination, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            sink = _Sink(file.write, manifest, limit)
            with uncollected(), GzipWriter(sink.write) as gzip:
                for chunk in tar_chunks(manifest, root, homes or {}):
                    gzip.write(chunk)
        Path(name).chmod(0o644)
        Path(name).replace(destination)
    except OSError as error:
        raise _unwritable(destination, error) from error
    finally:
        Path(name).unlink(missing_ok=True)
    parcel = Parcel(
        kind="tgz",
        digest=manifest.digest,
        files=len(manifest.entries),
        size=manifest.total_bytes,
        archive_digest=Digest("sha256", sink.sha256.hexdigest()),
        archive_size=sink.size,
        md5=sink.md5.digest(),
    )
    return Archive(path=destination, manifest=manifest, parcel=parcel)


def _unwritable(destination: Path, error: OSError) -> ArchiveError:
    return ArchiveError(f"the archive {destination} cannot be written: {error.strerror}", hint="choose another place")


class _Sink:
    """Writes compressed bytes on, counts and digests them, stops at the limit."""

    def __init__(self, write: Callable[[bytes], object], manifest: Manifest, limit: int) -> None:
        self._write = write
        self._manifest = manifest
        self._limit = limit
        self.size = 0
        self.sha256 = hashlib.sha256()
        self.md5 = hashlib.md5(usedforsecurity=False)

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(
                f"the archive is larger than {self._limit / MIB:.0f} MiB",
                [(entry.path, entry.size) for entry in self._manifest.largest(10)],
            )
        self.sha256.update(data)
        self.md5.update(data)
        self._write(data)
