"""Files that a build service is given, each under its SHA-256 and sent only where the service has not these bytes."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flyte_build.bundler.signed import SignedUploads
from flyte_build.bundler.upload import Parcel, upload
from flyte_build.registry.errors import InvalidInput, ServiceDenied, ServiceStranger
from flyte_build.registry.names import Digest
from flyte_build.worker.client.trouble import denied

_AT_ONCE = 8
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploads:
    """Brings files to where `uploads` goes."""

    uploads: SignedUploads

    def text(self, data: bytes) -> str:
        """Where these bytes are now: a native URL."""
        with tempfile.TemporaryDirectory(prefix="flyte-build-plan-") as folder:
            file = Path(folder) / "plan.json"
            file.write_bytes(data)
            return self._one(hashlib.sha256(data).hexdigest(), file)

    def files(self, wanted: Mapping[str, Path]) -> dict[str, str]:
        """Where each of these files is now, by sha256 (hex).

        Raises InvalidInput for one whose content is another by now, UploadError or ServiceError.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                return dict(zip(wanted, pool.map(self._one, wanted, wanted.values()), strict=True))
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, sha256: str, file: Path) -> str:
        try:
            return upload(lambda: (_parcel(sha256, file), file), self.uploads).uri
        except ServiceDenied as error:
            token = self.uploads.token() if callable(self.uploads.token) else self.uploads.token
            raise denied(error.sentence, token, known=not isinstance(error, ServiceStranger)) from error


def _parcel(sha256: str, file: Path) -> Parcel:
    md5, own, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    try:
        with file.open("rb") as reader:
            while chunk := reader.read(_CHUNK):
                md5.update(chunk)
                own.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read for the build: {error.strerror}") from error
    if own.hexdigest() != sha256:
        raise InvalidInput(f"{file} changed while the build was prepared", hint="run the command again")
    digest = Digest("sha256", sha256)
    return Parcel(
        kind="file", digest=digest, files=1, size=size, archive_digest=digest, archive_size=size, md5=md5.digest()
    )
