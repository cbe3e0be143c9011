"""Files that are in memory alone: no disk, backup or killed process keeps the value of a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def memory_file(value: bytes, place: Path) -> Iterator[Path]:
    """A file that holds `value` while the block runs, readable by this user's processes only.

    On Linux it is in memory (memfd_create(2)), and is gone however this process ends. Elsewhere it is `place`, below a
    folder that is private to this user and that the caller removes.
    """
    if not hasattr(os, "memfd_create"):
        place.touch(mode=0o600)
        place.write_bytes(value)
        yield place
        return
    with os.fdopen(os.memfd_create("flyte-build"), "w+b") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(value)
        file.flush()
        # By number, not /proc/self: Docker's client opens it, too.
        yield Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
