"""Reading files once, exactly: sha256, size and mode of each, and whether one changed under our eyes."""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flyte_build.bundler.copies import copies, spread
from flyte_build.bundler.found import Found, entry_of, numbers_of
from flyte_build.bundler.junk import HEAD_BYTES, secret_by_content
from flyte_build.bundler.manifest import Entry
from flyte_build.bundler.refusals import LEAVE_OUT, changed, refuse_secrets
from flyte_build.registry.errors import InvalidTree

_CHUNK = 1 << 20
_LARGE = 256 * 1024
_THREADS = 8
# Less is not worth a copy of this process.
_FEW = 1000
_LITTLE = 4 << 20
_BATCH = 256
# A file replaced by a link or a pipe since it was found is neither followed nor waited for.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Hashed(NamedTuple):
    """A file's entry, and the status that it had while it was read."""

    entry: Entry
    found: Found


class _Read(NamedTuple):
    """What reading a file gave: plain values, which travel between processes. `what` is a secret that it may be."""

    sha256: str
    what: str
    size: int
    mtime: int
    ctime: int
    inode: int
    mode: int


def hash_files(root: Path, files: Sequence[Found], meant: Callable[[str], bool]) -> tuple[Hashed, ...]:
    """An entry for every file, in the order given; files are read in parallel.

    `meant(path)` says whether a likely secret was asked for. Raises InvalidTree for an unreadable file, one that
    changes while it is read, and likely secrets by content.
    """
    hands = copies() if len(files) > _FEW or sum(found.size for found in files) > _LITTLE else 1
    read = _in_copies(f"{root}/", files, hands) if hands > 1 else _in_threads(f"{root}/", files)
    done = list(zip(files, read, strict=True))
    secrets = [f"{found.path} ({one.what})" for found, one in done if one.what and not meant(found.path)]
    if secrets:
        raise refuse_secrets(secrets)
    return tuple(_hashed(found.path, one) for found, one in done)


def _hashed(path: str, read: _Read) -> Hashed:
    found = Found(path, *read[2:])
    return Hashed(entry_of(found, read.sha256), found)


def _in_copies(base: str, files: Sequence[Found], hands: int) -> Iterator[_Read]:
    batches = _batches(files)

    def read(number: int) -> bytes:
        return marshal.dumps([tuple(_read(base, found.path)) for found in batches[number]])

    for answer in spread(read, len(batches), hands):
        # It comes from ourselves.
        yield from map(_Read._make, marshal.loads(answer))  # noqa: S302


def _batches(files: Sequence[Found]) -> list[Sequence[Found]]:
    """Files in a row, few enough and little enough that every copy has something to do."""
    batches, start, waiting = [], 0, 0
    for number, found in enumerate(files, 1):
        waiting += found.size
        if number - start == _BATCH or waiting > _LITTLE:
            batches.append(files[start:number])
            start, waiting = number, 0
    return [*batches, files[start:]]


def _in_threads(base: str, files: Sequence[Found]) -> Iterator[_Read]:
    # Reading a small file is nearly all interpreter: threads would only take turns.
    large = [found.path for found in files if found.size >= _LARGE]
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        waiting = {path: pool.submit(_read, base, path) for path in large}
        for found in files:
            yield waiting[found.path].result() if found.path in waiting else _read(base, found.path)


def _read(base: str, path: str) -> _Read:
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
    return _Read(hasher.hexdigest(), secret_by_content(head[:HEAD_BYTES]), *numbers_of(status))


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def head_of(base: str, path: str) -> bytes:
    """The first `HEAD_BYTES` of the file `base + path`. Raises InvalidTree."""
    with opened(base, path) as (descriptor, _):
        return os.read(descriptor, HEAD_BYTES)


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
