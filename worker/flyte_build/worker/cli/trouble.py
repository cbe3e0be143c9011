"""What the operating system refused, as a sentence: disks are full and folders read-only in every part of the code."""

from __future__ import annotations

import errno

from flyte_build.registry.errors import FlyteBuildError

_MOVE = "FLYTE_BUILD_CACHE names another cache folder, TMPDIR another one for temporary files"
_HINTS = {
    errno.ENOSPC: f"make room; {_MOVE}",
    errno.EDQUOT: f"make room: your quota is used up; {_MOVE}",
    errno.EROFS: f"write somewhere else: {_MOVE}",
    errno.EACCES: f"change its permissions, or write somewhere else: {_MOVE}",
    errno.EPERM: f"change its permissions, or write somewhere else: {_MOVE}",
    errno.ENOTDIR: f"name a folder: {_MOVE}",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the machine's limit of open files",
    errno.ENOMEM: "give it more memory",
}


def trouble(error: OSError) -> FlyteBuildError:
    """The error of ours for one of the operating system's that nobody expected where it came from."""
    said = (error.strerror or str(error) or type(error).__name__).lower()
    place = f"{error.filename}" if error.filename is not None else "what was to be written or read"
    hint = _HINTS.get(error.errno or 0, "FLYTE_BUILD_DEBUG=1 shows where in the program it happened")
    return FlyteBuildError(f"the operating system refused {place}: {said}", hint=hint)
