"""Projects, scripts, wheels and bundles of a spec -> layers of the plan, each kind by its own reader."""

from __future__ import annotations

from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from flyte_build.builder import reading_pixi, reading_poetry, reading_uv
from flyte_build.builder.files import tree_of
from flyte_build.builder.plan import CopyFiles, PlanFile, PlanLayer, WheelInstall
from flyte_build.builder.reading import Reading
from flyte_build.builder.spec import (
    CodeBundle,
    PixiProject,
    PixiScript,
    PoetryProject,
    UvProject,
    UvScript,
    Wheels,
)
from flyte_build.registry.errors import InvalidInput

Project = UvProject | UvScript | Wheels | PoetryProject | PixiProject | PixiScript | CodeBundle


def read_project(layer: Project, reading: Reading) -> tuple[PlanLayer, ...]:
    """The layers of the plan, in their order; raises InvalidInput as `read_layer`."""
    if isinstance(layer, UvProject):
        return reading_uv.project(layer, reading)
    if isinstance(layer, UvScript):
        return reading_uv.script(layer, reading)
    if isinstance(layer, PoetryProject):
        return reading_poetry.project(layer, reading)
    return (_single(layer, reading),)


def _single(layer: Wheels | PixiProject | PixiScript | CodeBundle, reading: Reading) -> PlanLayer:
    if isinstance(layer, Wheels):
        return _wheels(layer, reading)
    if isinstance(layer, PixiProject):
        return reading_pixi.project(layer, reading)
    if isinstance(layer, PixiScript):
        return reading_pixi.script(layer, reading)
    return _bundle(layer, reading)


def _wheels(layer: Wheels, reading: Reading) -> WheelInstall:
    folder = reading.root / layer.folder
    if not folder.is_dir():
        raise InvalidInput(f"{layer.folder!r} is not a folder", hint="paths are relative to the file of the spec")
    found = sorted(path for path in folder.iterdir() if path.suffix == ".whl" and path.is_file())
    wanted = canonicalize_name(layer.package.partition("[")[0])
    if not any(_distribution(path) == wanted for path in found):
        names = ", ".join(path.name for path in found[:5]) or "none"
        raise InvalidInput(f"{layer.folder!r} has no wheel of {layer.package!r} (its wheels: {names})")
    return WheelInstall(
        tree=tree_of(reading.files.add(path, path.name) for path in found),
        package=layer.package,
        options=layer.options,
        secrets=layer.secrets,
    )


def _distribution(wheel: Path) -> str:
    try:
        return parse_wheel_filename(wheel.name)[0]
    except InvalidWheelFilename as error:
        raise InvalidInput(f"{wheel.name!r} is not the name of a wheel") from error


def _bundle(layer: CodeBundle, reading: Reading) -> CopyFiles:
    folder = reading.root / layer.folder
    if not folder.is_dir():
        raise InvalidInput(f"{layer.folder!r} is not a folder", hint="paths are relative to the file of the spec")
    found: dict[str, PlanFile] = {}
    wrong: list[str] = []
    for pattern in layer.files:
        try:
            matches = _matches(folder, pattern)
        except InvalidInput as error:
            wrong.append(error.sentence)
            continue
        for path in matches:
            if not reading.skip(path.absolute()):
                name = path.relative_to(folder).as_posix()
                found[name] = reading.files.add(path, name)
    if wrong:
        raise InvalidInput("; ".join(wrong), hint="take the pattern out, or check the folder")
    return CopyFiles(tree=tree_of(found.values()), to=layer.to, owner=layer.owner)


def _matches(folder: Path, pattern: str) -> list[Path]:
    exact = folder / pattern
    matches = [exact] if exact.is_file() else [path for path in folder.glob(pattern) if path.is_file()]
    if not matches:
        raise InvalidInput(f"no file below {folder.name!r} matches {pattern!r}")
    outside = next((path for path in matches if not path.resolve().is_relative_to(folder.resolve())), None)
    if outside is not None:
        raise InvalidInput(f"{pattern!r} leads out of {folder.name!r}, to {outside.name!r}")
    return matches
