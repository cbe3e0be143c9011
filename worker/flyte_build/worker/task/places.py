"""What a task's container reads and writes by URL: files, and objects of S3, GCS and Azure."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from flyte_build.registry.errors import InvalidInput, ServiceError
from flyte_build.registry.redact import plain
from flyte_build.worker.stores.choose import signer_of
from flyte_build.worker.stores.http import StoreHttp
from flyte_build.worker.stores.signer import Content
from flyte_build.worker.stores.store import MAX_JOINED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flyte_build.worker.stores.signer import Signer

_SECONDS = 900


class Places:
    """Reads and writes with the container's own credentials, found where the clouds' libraries look.

    Flyte's own variables for S3 (`FLYTE_AWS_ENDPOINT`, …) count where AWS's are not set.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    def fetch(self, url: str, target: Path, limit: int = MAX_JOINED) -> None:
        """Copies an object to a new file. ServiceError when it is missing or larger than `limit` bytes."""
        path = _local(url)
        with target.open("xb") as file:
            if path is not None:
                _copy(path, file.write, limit)
                return
            signer, name = self._object(url)
            request = signer.sign("GET", name, seconds=_SECONDS)
            if StoreHttp(signer.name, time.sleep).save(request, file, limit=limit) is None:
                raise ServiceError(f"there is no object {plain(url)}")

    def read(self, url: str, scratch: Path, limit: int) -> bytes:
        """The bytes of a small object; `scratch` is a folder."""
        target = scratch / hashlib.sha256(url.encode()).hexdigest()
        self.fetch(url, target, limit)
        data = target.read_bytes()
        target.unlink()
        return data

    def write(self, url: str, data: bytes) -> None:
        """Writes an object, whole or not at all."""
        path = _local(url)
        if path is not None:
            beside = path.with_name(f".{path.name}.new")
            beside.write_bytes(data)
            beside.replace(path)
            return
        signer, name = self._object(url)
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        request = signer.sign_put(name, Content(md5=md5, size=len(data)), seconds=_SECONDS)
        answer = StoreHttp(signer.name, time.sleep).send(request, data)
        if answer.status not in (200, 201, 204):
            raise ServiceError(f"{signer.name} did not take {plain(name)}: it answered {answer.status}")

    def _object(self, url: str) -> tuple[Signer, str]:
        parts = urlsplit(url)
        name = unquote(parts.path.lstrip("/"))
        names: tuple[str, ...]
        if parts.scheme in ("abfs", "abfss"):
            # abfs://container@account.dfs.core.windows.net/path (the Hadoop driver's form)
            container, _, host = parts.netloc.partition("@")
            names, scheme = (host.partition(".")[0], container), "az"
        else:
            names, scheme = (parts.netloc,), parts.scheme
        if scheme not in ("s3", "gs", "az") or not all(names) or not name:
            raise InvalidInput(f"{plain(url)!r} is no place that this task can read or write")
        endpoint = self._environment.get("FLYTE_AWS_ENDPOINT", "")
        options = {"endpoint": endpoint} if scheme == "s3" and endpoint else {}
        with _borrowed(self._environment):
            return signer_of(scheme, names, options, clock=time.time, environ=self._environment), name


def _local(url: str) -> Path | None:
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc:
        return Path(unquote(parts.path))
    return Path(url) if not parts.scheme else None


def _copy(path: Path, write: object, limit: int) -> None:
    try:
        with path.open("rb") as source:
            total = 0
            while data := source.read(1 << 20):
                total += len(data)
                if total > limit:
                    raise ServiceError(f"{path} is larger than {limit} bytes")
                write(data)  # type: ignore[operator] # a file's own method
    except OSError as error:
        raise ServiceError(f"{path} cannot be read: {error.strerror}") from error


@contextmanager
def _borrowed(environment: Mapping[str, str]) -> Iterator[None]:
    """boto3 knows only AWS's names of what Flyte gives to its containers."""
    names = {"AWS_ACCESS_KEY_ID": "FLYTE_AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY": "FLYTE_AWS_SECRET_ACCESS_KEY"}
    given = {ours: environment[flytes] for ours, flytes in names.items() if flytes in environment}
    added = {name: value for name, value in given.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
