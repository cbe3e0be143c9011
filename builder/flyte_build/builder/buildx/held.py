"""A folder that lives as long as its process: what a killed one left is removed by the next.

A living process holds a lock (flock(2)) on a file in its folder, and the kernel lets go of it however the process ends.
Process numbers would not tell: containers that share a cache folder count their own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCK = "held.lock"


@contextmanager
def held_folder(root: Path) -> Iterator[Path]:
    """A new folder below `root`, readable by this user only, removed when the block ends; also removes those whose
    process is no more. Where the file system has no locks, nobody's is removed but our own.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Nobody tidies up while a folder has no lock yet.
    with (root / ".lock").open("ab") as door:
        _lock(door.fileno(), fcntl.LOCK_EX)
        _sweep(root)
        folder = root / os.urandom(12).hex()
        folder.mkdir(mode=0o700)
        (folder / _LOCK).touch(mode=0o600)
        held = (folder / _LOCK).open("r+b")
        _lock(held.fileno(), fcntl.LOCK_EX)
    try:
        with held:
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path) -> None:
    for left in root.iterdir():
        if left.is_dir() and not left.is_symlink() and _is_over(left):
            shutil.rmtree(left, ignore_errors=True)


def _is_over(folder: Path) -> bool:
    """Whether nobody holds it. One without a lock was left by a process that ended while it was made."""
    try:
        with (folder / _LOCK).open("r+b") as file:
            return _lock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _lock(file: int, operation: int) -> bool:
    """Whether we have it; not where somebody else does, and not where the file system has no locks."""
    try:
        fcntl.flock(file, operation)
    except OSError:
        return False
    return True
