"""Reading files once, exactly: sha256, size and mode of each, and whether one changed under our eyes."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flyte_build.bundler.junk import HEAD_BYTES, secret_by_content
from flyte_build.bundler.manifest import Entry
from flyte_build.bundler.refusals import LEAVE_OUT, changed, refuse_secrets
from flyte_build.bundler.walk import Found
from flyte_build.registry.errors import InvalidTree

_CHUNK = 1 << 20
_LARGE = 256 * 1024
_THREADS = 8
# A file replaced by a link or a pipe since it was found is neither followed nor waited for.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Hashed(NamedTuple):
    """A file's entry, and the status that it had while it was read."""

    entry: Entry
    found: Found


def hash_files(root: Path, files: Sequence[Found], meant: Callable[[str], bool]) -> tuple[Hashed, ...]:
    """An entry for every file, in the order given; files are read in parallel.

    `meant(path)` says whether a likely secret was asked for. Raises InvalidTree for an unreadable file, one that
    changes while it is read, and likely secrets by content.
    """
    base = f"{root}/"
    # Reading a small file is nearly all interpreter: threads would only take turns.
    large = [found.path for found in files if found.size >= _LARGE]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        waiting = {path: pool.submit(_read, base, path) for path in large}
        small = {found.path: _read(base, found.path) for found in files if found.path not in waiting}
        done = [small[found.path] if found.path in small else waiting[found.path].result() for found in files]
    secrets = [f"{one.entry.path} ({what})" for one, what in done if what and not meant(one.entry.path)]
    if secrets:
        raise refuse_secrets(secrets)
    return tuple(one for one, _ in done)


def _read(base: str, path: str) -> tuple[Hashed, str]:
    with opened(base, path) as (descriptor, status):
        # One byte more than there should be: getting no more is the end.
        head = data = os.read(descriptor, min(status.st_size, _CHUNK) + 1)
        hasher, size = hashlib.sha256(data), len(data)
        while data and size < status.st_size:
            data = os.read(descriptor, min(status.st_size - size, _CHUNK) + 1)
            hasher.update(data)
            size += len(data)
        if size != status.st_size or _identity(os.fstat(descriptor)) != _identity(status):
            raise changed(path)
    executable = status.st_mode & stat.S_IXUSR
    entry = Entry(path=path, mode="0755" if executable else "0644", size=size, sha256=hasher.hexdigest())
    return Hashed(entry, Found.of(path, status)), secret_by_content(head[:HEAD_BYTES])


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def read_whole(base: str, path: str, size: int) -> bytes:
    """The first `size` bytes of the file `base + path` and one more, if it has them. Raises InvalidTree."""
    try:
        descriptor = os.open(base + path, _FLAGS)
        try:
            return os.read(descriptor, size + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise changed(path) from error
    except OSError as error:
        raise InvalidTree(f"{path} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error


@contextmanager
def opened(base: str, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor of the regular file `base + path` and its status. Raises InvalidTree in one sentence."""
    try:
        descriptor = os.open(base + path, _FLAGS)
    except FileNotFoundError as error:
        raise changed(path) from error
    except OSError as error:
        raise InvalidTree(f"{path} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise changed(path)
        yield descriptor, status
    except OSError as error:
        raise InvalidTree(f"{path} cannot be read: {error.strerror}", hint=LEAVE_OUT) from error
    finally:
        os.close(descriptor)
