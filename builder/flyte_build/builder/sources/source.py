"""Where specs come from. A source gives specs, each with the folder that its paths are relative to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flyte_build.builder.spec import ImageSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundSpec:
    """A spec, the folder its paths are relative to, and where it was found (`train.py: image`)."""

    spec: ImageSpec
    root: Path
    origin: str
