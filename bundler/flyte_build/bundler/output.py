"""The file that is made: written beside its place, and put there when it is whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from flyte_build.registry.errors import ArchiveError


@contextmanager
def writing(destination: Path) -> Iterator[BinaryIO]:
    """A new file that becomes `destination` at the end, readable by all. Nothing partial stays.

    Raises ArchiveError when it cannot be written, or when a device, a pipe or a folder has that name.
    """
    try:
        # A rename would put a plain file into the place of /dev/null, for everybody on the machine.
        if destination.exists() and not destination.is_file():
            raise ArchiveError(f"the archive {destination} cannot be written: it is no plain file", hint=_ELSEWHERE)
        destination.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{destination.name}.", dir=destination.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(name).chmod(0o644)
            Path(name).replace(destination)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        said = f"the archive {destination} cannot be written: {error.strerror}"
        raise ArchiveError(said, hint=_ELSEWHERE) from error


_ELSEWHERE = "choose another place: --output, or TMPDIR for what is only uploaded"
