"""Which store `--store` means: a directory, or a bucket of one of the clouds."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.stores.local import LocalStore
from flyte_build.worker.stores.remote import RemoteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flyte_build.worker.stores.signer import Signer

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/)*")
_OPTIONS = {"s3": {"endpoint", "public", "region"}, "gs": {"endpoint"}, "az": set[str]()}


def store_at(
    text: str, state: Path, *, base_url: Callable[[], str], clock: Callable[[], float]
) -> LocalStore | RemoteStore:
    """The store at `text`: a directory, a bucket (see `remote_store`), or empty for one in `state`."""
    if ":" not in text.partition("/")[0]:
        return LocalStore(Path(text).absolute() if text else state / "store", base_url=base_url, clock=clock)
    return remote_store(text, state / "store-copies", clock=clock)


def remote_store(
    text: str, folder: Path, *, clock: Callable[[], float], environ: Mapping[str, str] = os.environ
) -> RemoteStore:
    """The store at `text`; `folder` is for copies.

    `s3://bucket[/prefix][?endpoint=URL&public=URL&region=NAME]` (`public` is where others reach the endpoint),
    `gs://bucket[/prefix]`, `az://account/container[/prefix]`. Raises InvalidInput for anything else, and ServiceError
    when the credentials or the package that it needs are not there.
    """
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query))
    way = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    container = way.pop(0) if parts.scheme == "az" and way else ""
    prefix = "".join(f"{part}/" for part in way)
    names = (parts.netloc, container) if parts.scheme == "az" else (parts.netloc,)
    fine = all(_NAME.fullmatch(name) for name in names) and _PREFIX.fullmatch(prefix)
    if not fine or not options.keys() <= _OPTIONS.get(parts.scheme, set()) or parts.scheme not in _OPTIONS:
        raise InvalidInput(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is not a store",
            hint="use a directory, s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix",
        )
    signer = signer_of(parts.scheme, names, options, clock=clock, environ=environ)
    return RemoteStore(signer, prefix, folder, clock=clock)


def signer_of(
    scheme: str,
    names: tuple[str, ...],
    options: Mapping[str, str],
    *,
    clock: Callable[[], float],
    environ: Mapping[str, str],
) -> Signer:
    """Who signs for a bucket (`s3`, `gs`) or for an account's container (`az`)."""
    if scheme == "s3":
        from flyte_build.worker.stores.s3 import S3Signer

        return S3Signer(names[0], **options)
    if scheme == "gs":
        from flyte_build.worker.stores.gcs import GcsSigner, default_key

        return GcsSigner(names[0], default_key(), endpoint=options.get("endpoint", ""), clock=clock)
    from flyte_build.worker.stores.azure import AzureAccount, AzureSigner

    return AzureSigner(AzureAccount.of_environment(environ, names[0]), names[1], clock=clock)
