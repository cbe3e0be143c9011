"""SOURCE of the command line -> specs."""

from __future__ import annotations

import re
from pathlib import Path

from flyte_build.builder.sources import python, toml
from flyte_build.builder.sources.source import FoundSpec
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidInput

_KINDS = "name a Python file or module, an image.toml, or a Dockerfile"
_HERE = "paths are relative to the folder that you are in"


def find_specs(source: str) -> tuple[FoundSpec, ...]:
    """The specs that `source` names: an `image.toml` (or another .toml), a Dockerfile, a Python file, or a module."""
    path = Path(source)
    if path.is_dir():
        inside = path / "image.toml"
        if inside.is_file():
            return toml.read(inside)
        raise InvalidInput(f"{source} is a folder without an image.toml", hint=_KINDS)
    if path.suffix == ".toml":
        return toml.read(path)
    if path.suffix == ".py":
        if not path.is_file():
            raise InvalidInput(f"{source} does not exist", hint=_HERE)
        return python.read(path)
    if path.is_file() and "dockerfile" in path.name.lower():
        return (_dockerfile(path),)
    if path.exists():
        raise InvalidInput(f"{source} is not a source of images", hint=_KINDS)
    if all(part.isidentifier() for part in source.split(".")):
        return python.read_module(source)
    raise InvalidInput(f"{source} does not exist", hint=f"{_KINDS}; {_HERE}")


def _dockerfile(path: Path) -> FoundSpec:
    """Called after its folder, as Docker's own tools call it; `train.Dockerfile` has a name."""
    name = path.stem if path.suffix.lower() == ".dockerfile" else path.absolute().parent.name
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "image"
    return FoundSpec(spec=ImageSpec(name=cleaned, dockerfile=path.name), root=path.parent, origin=str(path))
