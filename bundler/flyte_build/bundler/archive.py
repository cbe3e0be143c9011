"""The bytes that carry a manifest: a `.tar.gz` that is the same wherever and whenever it is made.

`tarring` makes the tar, `compressor` the gzip; here it is written, measured, limited and named.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.collector import uncollected
from flyte_build.bundler.compressor import CAN_JOIN, Deflated, GzipWriter, deflate
from flyte_build.bundler.copies import copies, spread
from flyte_build.bundler.limits import MIB, BundleLimits
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.output import writing
from flyte_build.bundler.refusals import too_large
from flyte_build.bundler.tarring import END, RUN, Source, runs_of, tar_run
from flyte_build.bundler.upload import Parcel
from flyte_build.registry.names import Digest

# Fewer runs are not worth a copy of this process; a run of more bytes goes through in pieces.
_FEW = 4
_ONCE = 4 * MIB
_FACTS = struct.Struct("<QI")


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
    with writing(destination) as file:
        sink = _Sink(file.write, manifest, limit)
        _write(Source(manifest=manifest, root=root, homes=homes or {}), sink.write)
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


def _write(source: Source, sink: Callable[[bytes], object]) -> None:
    """The whole gzip of a tar. Where runs end, a block ends, so that it is the same bytes with copies and without."""
    runs = runs_of(source.manifest)
    hands = copies() if CAN_JOIN and len(runs) > _FEW else 1
    with uncollected(), GzipWriter(sink) as gzip:
        small = [run for run in runs if _bytes_of(source, run) <= _ONCE] if hands > 1 else []
        made = spread(lambda number: _packed(source, small[number]), len(small), hands)
        with closing(made):
            for run in runs:
                if small and _bytes_of(source, run) <= _ONCE:
                    size, crc = _FACTS.unpack_from(answer := next(made))
                    gzip.add(Deflated(size=size, crc=crc, data=answer[_FACTS.size :]))
                    continue
                for chunk in tar_run(source, run):
                    gzip.write(chunk)
                gzip.cut()
        gzip.write(END)


def _bytes_of(source: Source, run: range) -> int:
    return source.manifest.entries[run.start].size if len(run) == 1 else RUN


def _packed(source: Source, run: range) -> bytes:
    made = deflate(b"".join(tar_run(source, run)))
    return _FACTS.pack(made.size, made.crc) + made.data


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
