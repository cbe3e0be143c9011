"""Receiving a bundle by its name: fetched once per machine, verified, kept in a cache of bounded size, unpacked.

The cache holds archives and not folders: whoever gets a folder may write into it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from flyte_build.bundler.download import download
from flyte_build.bundler.limits import ExtractLimits
from flyte_build.bundler.manifest import Manifest
from flyte_build.bundler.receive import extract
from flyte_build.registry.errors import ArchiveError
from flyte_build.registry.names import Digest

Get = Callable[[Path], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A bundle to receive: its identity, where it is (a signed URL, a file, `oci://…`), the archive's sha256."""

    digest: Digest
    url: str = field(repr=False)
    archive_digest: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleCache:
    """Archives by the digest of their bundle, below `folder`; the longest unused go when there are over `limit` bytes.

    Safe between processes: of several that want a bundle, one gets it and the others wait.
    """

    folder: Path
    limit: int = 2 << 30

    @contextmanager
    def archive(self, digest: Digest, get: Get) -> Iterator[Path]:
        """The archive of the bundle `digest`; `get` writes it to a new path when it is not there.

        A file that was handed out stays readable until the block ends. Raises what `get` raises, and ArchiveError when
        the cache cannot be used.
        """
        path = self.folder / digest.hex
        with self._locked(digest):
            if not path.exists():
                self._bring(path, get)
            with suppress(OSError):
                os.utime(path)
            self._shrink(path)
            yield path

    def forget(self, digest: Digest) -> None:
        """Remove a bundle's archive."""
        (self.folder / digest.hex).unlink(missing_ok=True)

    def _bring(self, path: Path, get: Get) -> None:
        try:
            place = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        except OSError as error:
            raise ArchiveError(f"the bundle cache {self.folder} cannot be used: {error.strerror}") from error
        try:
            get(place / "archive")
            (place / "archive").replace(path)
        except OSError as error:
            raise ArchiveError(f"the bundle cache {self.folder} cannot be used: {error.strerror}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @contextmanager
    def _locked(self, digest: Digest) -> Iterator[None]:
        try:
            (self.folder / "locks").mkdir(parents=True, exist_ok=True, mode=0o700)
            # Never removed: who waits for a file that was replaced would wait beside the others.
            descriptor = os.open(self.folder / "locks" / digest.hex, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ArchiveError(f"the bundle cache {self.folder} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _shrink(self, kept: Path) -> None:
        with os.scandir(self.folder) as entries:
            files = [(entry.stat(), entry.path) for entry in entries if entry.is_file(follow_symlinks=False)]
        total = sum(status.st_size for status, _ in files)
        for status, name in sorted(files, key=lambda one: one[0].st_mtime):
            if total <= self.limit:
                return
            if name != str(kept):
                with suppress(OSError):
                    Path(name).unlink()
                total -= status.st_size


def fetch_bundle(
    wanted: Wanted, destination: Path, cache: BundleCache, limits: ExtractLimits | None = None
) -> Manifest:
    """Unpack the bundle `wanted` as the folder `destination` (which must not exist, or be empty).

    Returns its manifest. Raises RegistryError where a registry does not give it, and ArchiveError when it cannot be
    had, is damaged, hostile, over `limits` or another bundle; then nothing stays behind.
    """
    limits = limits or ExtractLimits()

    def get(path: Path) -> None:
        if wanted.url.startswith("oci://"):
            # Slow to import, and most bundles are somewhere else.
            from flyte_build.bundler.oci import from_registry

            from_registry(wanted.url, path, limits.archive_bytes)
            return
        download(wanted.url, path, limit=limits.archive_bytes, expected=wanted.archive_digest)

    with cache.archive(wanted.digest, get) as archive:
        try:
            return extract(archive, destination, limits=limits, expected=wanted.digest)
        except ArchiveError:
            # Whatever is wrong with it, the next attempt shall not find it here again.
            cache.forget(wanted.digest)
            raise
