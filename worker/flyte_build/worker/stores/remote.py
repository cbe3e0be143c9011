"""A store in somebody's cloud: the same objects, under a prefix of a bucket, through signed requests only."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flyte_build.registry.errors import InvalidName, ServiceConflict, ServiceDenied, ServiceError
from flyte_build.worker.stores import xml
from flyte_build.worker.stores.copies import Copies
from flyte_build.worker.stores.http import StoreHttp
from flyte_build.worker.stores.keys import ObjectKey
from flyte_build.worker.stores.signer import Content
from flyte_build.worker.stores.store import MAX_JOINED, MAX_OBJECT, Held, SignedDownload, SignedUpload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flyte_build.worker.stores.signer import Signer

# What the service signs for itself; long enough for the largest object.
_OWN_SECONDS = 900
# What is older is uploaded again, which makes it young: nothing else can, and old objects may be pruned.
_FRESH_SECONDS = 12 * 3600


class RemoteStore:
    """Objects under `prefix` (empty, or ending in a slash) of a bucket; `folder` holds copies for mounts."""

    def __init__(
        self,
        signer: Signer,
        prefix: str,
        folder: Path,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._signer = signer
        self._prefix = prefix
        self._folder = folder
        self._clock = clock
        self._http = StoreHttp(signer.name, sleep)
        self._copies = Copies(folder / "copies", folder / "new", clock=clock)

    def open(self) -> None:
        """Makes the folder, and proves that the store may be used: lists one page."""
        (self._folder / "new").mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        for left in (self._folder / "new").iterdir():
            left.unlink(missing_ok=True)
        self._page(self._prefix, "")

    def sign_put(self, key: ObjectKey, md5: bytes, *, seconds: int, size: int = 0) -> SignedUpload:
        """See Store."""
        if size > MAX_OBJECT:
            raise ServiceDenied(f"{size} bytes are more than the {MAX_OBJECT} that one upload may have")
        there, since = self._head(key)
        if there is not None and there != md5:
            raise ServiceConflict(f"there is other content under {key} already", hint="upload it under another name")
        signed = self._signer.sign_put(self._name(key), Content(md5=md5, size=size), seconds=seconds, public=True)
        return SignedUpload(
            url=signed.url,
            expires=int(self._clock()) + seconds,
            exists=there == md5 and self._clock() - since < _FRESH_SECONDS,
            headers=tuple(signed.headers.items()),
        )

    def sign_get(self, key: ObjectKey, *, seconds: int) -> SignedDownload:
        """See Store."""
        if self._md5(key) is None:
            raise self._missing(key)
        signed = self._signer.sign("GET", self._name(key), seconds=seconds, public=True)
        return SignedDownload(url=signed.url, expires=int(self._clock()) + seconds)

    def join(self, key: ObjectKey, md5: bytes, parts: Sequence[ObjectKey]) -> bool:
        """See Store. The parts come through this machine, so that the MD5 of the whole is known and not believed."""
        whole, size = hashlib.md5(usedforsecurity=False), 0
        with tempfile.NamedTemporaryFile(dir=self._folder / "new") as target:
            for part in parts:
                with tempfile.TemporaryFile(dir=self._folder / "new") as piece:
                    request = self._signer.sign("GET", self._name(part), seconds=_OWN_SECONDS)
                    if self._http.save(request, piece, limit=MAX_OBJECT) is None:
                        return False
                    piece.seek(0)
                    while data := piece.read(1 << 20):
                        whole.update(data)
                        size += len(data)
                        target.write(data)
                if size > MAX_JOINED:
                    raise ServiceDenied(f"parts may be joined to at most {MAX_JOINED} bytes")
            target.flush()
            if whole.digest() != md5:
                return False
            self._put(key, Content(md5=md5, size=size), Path(target.name))
        for part in parts:
            self.remove(part)
        return True

    def write(self, key: ObjectKey, data: bytes) -> None:
        """See Store."""
        self._put(key, Content(md5=hashlib.md5(data, usedforsecurity=False).digest(), size=len(data)), data)

    def read(self, key: ObjectKey, limit: int) -> bytes:
        """See Store."""
        with tempfile.TemporaryFile(dir=self._folder / "new") as target:
            request = self._signer.sign("GET", self._name(key), seconds=_OWN_SECONDS)
            if self._http.save(request, target, limit=limit) is None:
                raise self._missing(key)
            target.seek(0)
            return target.read()

    def sha256(self, key: ObjectKey, limit: int = MAX_JOINED) -> str:
        """See Store."""
        with tempfile.TemporaryFile(dir=self._folder / "new") as target:
            return self._save(key, target.fileno(), limit)

    def fetch(self, key: ObjectKey, destination: Path) -> str:
        """See Store."""
        descriptor = os.open(destination, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            return self._save(key, descriptor)
        finally:
            os.close(descriptor)

    def local_path(self, key: ObjectKey) -> Path:
        """See Store: a copy, made the first time. A directory is the objects whose names continue this one."""
        keys = [key] if self._md5(key) is not None else [held.key for held in self._below(f"{self._name(key)}/")]
        if not keys:
            raise self._missing(key)
        for one in keys:
            self._copies.bring(one, self._save)
        self._copies.shrink()
        return self._copies.path(key)

    def held(self) -> Iterator[Held]:
        """See Store."""
        yield from self._below(self._prefix)

    def remove(self, key: ObjectKey) -> None:
        """See Store."""
        self._http.send(self._signer.sign("DELETE", self._name(key), seconds=_OWN_SECONDS))

    def _save(self, key: ObjectKey, descriptor: int, limit: int = MAX_JOINED) -> str:
        request = self._signer.sign("GET", self._name(key), seconds=_OWN_SECONDS)
        with os.fdopen(os.dup(descriptor), "wb+") as target:
            digest = self._http.save(request, target, limit=limit)
        if digest is None:
            raise self._missing(key)
        return digest

    def _put(self, key: ObjectKey, content: Content, body: bytes | Path) -> None:
        there, since = self._head(key)
        if there == content.md5 and self._clock() - since < _FRESH_SECONDS:
            return
        if there not in (None, content.md5):
            raise ServiceConflict(f"there is other content under {key} already")
        self._http.send(self._signer.sign_put(self._name(key), content, seconds=_OWN_SECONDS), body)

    def _md5(self, key: ObjectKey) -> bytes | None:
        return self._head(key)[0]

    def _head(self, key: ObjectKey) -> tuple[bytes | None, float]:
        """The MD5 of an object, empty when the store does not say, and its age; None when there is none."""
        answer = self._http.send(self._signer.sign("HEAD", self._name(key), seconds=_OWN_SECONDS))
        if answer.status == 404:
            return None, 0.0
        return self._signer.md5(answer.headers), xml.seconds(answer.headers.get("last-modified", ""))

    def _below(self, prefix: str) -> Iterator[Held]:
        after = ""
        while True:
            objects, after = self._page(prefix, after)
            for name, size, since in objects:
                with suppress(InvalidName):
                    yield Held(key=ObjectKey.parse(name.removeprefix(self._prefix)), size=size, since=since)
            if not after:
                return

    def _page(self, prefix: str, after: str) -> tuple[tuple[tuple[str, int, float], ...], str]:
        request = self._signer.sign_list(prefix, after, seconds=_OWN_SECONDS)
        answer = self._http.send(request, limit=16 << 20)
        if answer.status == 404:
            raise ServiceError(f"there is no store {self._signer.name}", hint="make the bucket, or check --store")
        listed = self._signer.listed(answer.body)
        return listed.objects, listed.after

    def _name(self, key: ObjectKey) -> str:
        return f"{self._prefix}{key}"

    def _missing(self, key: ObjectKey) -> ServiceError:
        return ServiceError(f"there is no object {key} in the store {self._signer.name}", hint="upload it again")
