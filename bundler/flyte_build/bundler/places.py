"""Where the bundler keeps what it can make again, on this machine and for this user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`FLYTE_BUILD_CACHE`, else `flyte-build` in XDG's cache folder (XDG Base Directory Specification)."""
    chosen = os.environ.get("FLYTE_BUILD_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flyte-build"
