"""The embedded store: a directory, and signed URLs that this process answers itself."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from flyte_build.registry.errors import InvalidName, ServiceConflict, ServiceDenied, ServiceError, ServiceTooLarge
from flyte_build.worker.stores.incoming import Incoming, hexdigest, md5_of
from flyte_build.worker.stores.keys import AREAS, ObjectKey
from flyte_build.worker.stores.signing import Grant, load_secret, verify
from flyte_build.worker.stores.store import MAX_JOINED, MAX_OBJECT, Held, SignedDownload, SignedUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_CHUNK = 2**20
_UPLOAD_AGAIN = (
    "upload it again; if the SDK says that it skips the upload, it remembers another state folder of this endpoint:"
    " run once with flyte.with_runcontext(disable_run_cache=True), or remove ~/.flyte/local-cache"
)


class LocalStore:
    """Objects as files under `root`; URLs start with `base_url()` (known only when the port is)."""

    def __init__(self, root: Path, *, base_url: Callable[[], str], clock: Callable[[], float]) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._base_url = base_url
        self._clock = clock
        self._secret = b""

    def open(self, *, receives: bool = True) -> None:
        """Makes the directory and the signing secret, once, and removes what interrupted uploads left.

        Whoever does not receive uploads leaves alone those that somebody else receives there.
        """
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._root.chmod(0o700)
        self._secret = load_secret(self._root / "secret")
        if not receives:
            return
        for left in self._incoming.iterdir():
            left.unlink(missing_ok=True)
        for area in AREAS:
            for folder in sorted((self._root / area).rglob("*/"), reverse=True):
                with suppress(OSError):
                    folder.rmdir()

    def sign_put(self, key: ObjectKey, md5: bytes, *, seconds: int, size: int = 0) -> SignedUpload:
        """See Store. `exists` is true only if what is there has this MD5."""
        path = self._path(key)
        if size > MAX_OBJECT:
            raise ServiceDenied(f"{size} bytes are more than the {MAX_OBJECT} that one upload may have")
        exists = path.is_file()
        if exists and md5_of(path) != md5.hex():
            raise ServiceConflict(f"there is other content under {key} already", hint="upload it under another name")
        if exists:
            with suppress(FileNotFoundError):
                os.utime(path)  # whoever asked will refer to it soon
        expires = int(self._clock()) + seconds
        grant = Grant(method="PUT", key=key, md5=md5.hex(), size=size, expires=expires)
        return SignedUpload(url=grant.url(self._base_url(), self._secret), expires=expires, exists=exists)

    def sign_get(self, key: ObjectKey, *, seconds: int) -> SignedDownload:
        """See Store."""
        self.local_path(key)
        expires = int(self._clock()) + seconds
        grant = Grant(method="GET", key=key, md5="", size=0, expires=expires)
        return SignedDownload(url=grant.url(self._base_url(), self._secret), expires=expires)

    def give(self, path: str, query: Mapping[str, str]) -> Path:
        """The file that a GET of a signed URL means; ServiceDenied if it must not be, ServiceError if it is gone."""
        grant = verify("GET", path, query, secret=self._secret, now=self._clock())
        return self.local_path(grant.key)

    def join(self, key: ObjectKey, md5: bytes, parts: Sequence[ObjectKey]) -> bool:
        """See Store."""
        paths = [self._path(part) for part in parts]
        if not all(path.is_file() for path in paths):
            return False
        grant = Grant(method="PUT", key=key, md5=md5.hex(), size=MAX_JOINED, expires=0)
        try:
            with self._incoming_of(grant, exact=False) as incoming:
                for path in paths:
                    with path.open("rb") as piece:
                        while chunk := piece.read(_CHUNK):
                            incoming.write(chunk)
                incoming.commit()
        except ServiceDenied:
            return False
        for part in parts:
            self.remove(part)
        return True

    def receive(self, path: str, query: Mapping[str, str]) -> Incoming:
        """A PUT of a signed URL, to be entered, written and committed; ServiceDenied if it must not be."""
        grant = verify("PUT", path, query, secret=self._secret, now=self._clock())
        return self._incoming_of(grant)

    def write(self, key: ObjectKey, data: bytes) -> None:
        """See Store."""
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        grant = Grant(method="PUT", key=key, md5=md5, size=len(data), expires=0)
        with self._incoming_of(grant) as incoming:
            incoming.write(data)
            incoming.commit()

    def read(self, key: ObjectKey, limit: int) -> bytes:
        """See Store."""
        return self._file(key, limit).read_bytes()

    def sha256(self, key: ObjectKey, limit: int = MAX_JOINED) -> str:
        """See Store."""
        return hexdigest(self._file(key, limit), hashlib.sha256())

    def fetch(self, key: ObjectKey, destination: Path) -> str:
        """See Store."""
        digest = hashlib.sha256()
        with self._file(key).open("rb") as source, destination.open("xb") as target:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
        return digest.hexdigest()

    def local_path(self, key: ObjectKey) -> Path:
        """See Store."""
        path = self._path(key)
        if not path.exists():
            raise ServiceError(f"there is no object {key} in the store", hint=_UPLOAD_AGAIN)
        return path

    def held(self) -> Iterator[Held]:
        """See Store."""
        for area in AREAS:
            for path in sorted((self._root / area).rglob("*")):
                with suppress(InvalidName, FileNotFoundError):
                    if path.is_file():
                        key, status = ObjectKey.parse(path.relative_to(self._root).as_posix()), path.stat()
                        yield Held(key=key, size=status.st_size, since=status.st_mtime)

    def remove(self, key: ObjectKey) -> None:
        """See Store. Folders that become empty go at the next start, when nobody uploads."""
        self._path(key).unlink(missing_ok=True)

    def _incoming_of(self, grant: Grant, *, exact: bool = True) -> Incoming:
        return Incoming(self._path(grant.key), self._incoming / secrets.token_hex(8), grant, exact=exact)

    def _file(self, key: ObjectKey, limit: int = MAX_JOINED) -> Path:
        """An object never changes, so its size now is what it will be."""
        path = self.local_path(key)
        if not path.is_file():
            raise ServiceError(f"{key} is a folder of the store and no object", hint="name a file that was uploaded")
        if path.stat().st_size > limit:
            raise ServiceTooLarge(f"the object {key} is larger than {limit} bytes")
        return path

    def _path(self, key: ObjectKey) -> Path:
        return self._root.joinpath(*key.parts)
