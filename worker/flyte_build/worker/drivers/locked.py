"""The image line with a lock beside the spec: read it, obey it, renew it."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal

from flyte_build.builder.lock import FILE_NAME, Lock, format_lock, parse_lock
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.registry.client import RegistryClient
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageName
from flyte_build.worker.drivers import image as driver
from flyte_build.worker.drivers.likely_secrets import likely_secrets

LockMode = Literal["bases", "locked", "update"]


def prepare(
    found: FoundSpec, registry: RegistryClient, *, mode: LockMode, tags: tuple[str, ...], writes: bool = True
) -> driver.Planned:
    """Resolve and plan one spec with the lock beside it.

    `bases` takes base digests from the lock where it has them; `locked` takes everything from it and nothing from
    elsewhere; `update` resolves everything anew and, if it `writes`, renews the lock. Raises InvalidInput when the lock
    is missing or lacks something, InvalidSpec when it cannot be read.
    """
    if found.spec.dockerfile is not None and mode != "bases":
        raise InvalidInput(
            f"the image {found.spec.name!r} is a Dockerfile's, whose packages {FILE_NAME} knows nothing of",
            hint="leave out --locked and --update: the digests of its base images are part of its name anyway",
        )
    if mode == "update":
        planned = _anew(found, registry, tags, writes=writes)
    else:
        planned = (_by_lock if mode == "locked" else _by_bases)(found, registry, tags)
    return replace(planned, remarks=(*planned.remarks, *likely_secrets(planned.plan)))


def read(folder: Path) -> Lock | None:
    """The lock in `folder`, None when there is none."""
    file = folder / FILE_NAME
    try:
        return parse_lock(file.read_text(encoding="utf-8"), source=str(file))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read") from error


def write(folder: Path, lock: Lock) -> None:
    """Replace the lock in `folder` at once: a reader sees the old one or the new one."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as writer:
            writer.write(format_lock(lock))
        Path(temporary).chmod(0o644)
        Path(temporary).replace(folder / FILE_NAME)
    except OSError as error:
        raise InvalidInput(
            f"{folder / FILE_NAME} cannot be written: {error.strerror}",
            hint="a lock lies beside its spec: make that folder writable",
        ) from error


def _by_bases(found: FoundSpec, registry: RegistryClient, tags: tuple[str, ...]) -> driver.Planned:
    lock = read(found.root)
    if lock is None:
        return driver.prepare(found.spec, found.root, registry, tags=tags)
    from flyte_build.builder.pinning import LockedBases

    bases = LockedBases(lock, registry)
    planned = driver.prepare(found.spec, found.root, bases, tags=tags)
    # Of a Dockerfile nothing is updated.
    how = "" if found.spec.dockerfile is not None else ": --update takes what it is now"
    remarks = (f"the base {name} is that of {FILE_NAME}{how}" for name in dict.fromkeys(bases.taken))
    return replace(planned, remarks=tuple(remarks))


def _by_lock(found: FoundSpec, registry: RegistryClient, tags: tuple[str, ...]) -> driver.Planned:
    from flyte_build.builder.pinning import Locked, LockedBases, unpinned

    lock = read(found.root)
    if lock is None:
        raise InvalidInput(f"there is no {FILE_NAME} in {found.root}", hint="make it: flyte-build image … --update")
    bases = LockedBases(lock, registry, strict=True)
    planned = driver.prepare(found.spec, found.root, bases, tags=tags, pins=Locked(lock))
    return replace(planned, notes=unpinned(planned.plan.layers))


def _anew(found: FoundSpec, registry: RegistryClient, tags: tuple[str, ...], *, writes: bool) -> driver.Planned:
    from flyte_build.builder.machine import find_machine
    from flyte_build.builder.pinning import Updating, unpinned

    updating = Updating(find_machine(), read(found.root) or Lock())
    planned = driver.prepare(found.spec, found.root, registry, tags=tags, pins=updating)
    notes = unpinned(planned.plan.layers)
    if not writes:
        return replace(planned, notes=notes)
    name = ImageName.parse(found.spec.base_name)
    write(found.root, updating.lock.with_base(name, planned.resolved.base.digest))
    return replace(planned, notes=(f"{found.root / FILE_NAME} is written", *notes))
