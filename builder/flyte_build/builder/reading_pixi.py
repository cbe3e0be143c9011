"""pixi projects and scripts -> a layer of the plan."""

from __future__ import annotations

import shlex
from pathlib import Path

from flyte_build.builder import recipe
from flyte_build.builder.files import read_text, tree_of
from flyte_build.builder.plan import PixiInstall
from flyte_build.builder.reading import Reading
from flyte_build.builder.reading_uv import LEFTOVERS
from flyte_build.builder.script import inline_metadata
from flyte_build.builder.spec import PixiProject, PixiScript
from flyte_build.builder.toml_text import toml_text
from flyte_build.builder.uv_lock import parse, table
from flyte_build.registry.errors import InvalidInput

_SUBDIRS = {"linux/amd64": "linux-64", "linux/arm64": "linux-aarch64"}
_JUNK = (*LEFTOVERS, ".pixi")


def project(layer: PixiProject, reading: Reading) -> PixiInstall:
    """The step of a pixi project."""
    manifest = reading.project(layer.manifest, ("pixi.toml", "pyproject.toml"))
    parse(read_text(manifest, "the manifest"), manifest.name)
    lock = reading.root / layer.lock if layer.lock is not None else manifest.parent / "pixi.lock"
    if layer.lock is not None and not lock.is_file():
        raise InvalidInput(f"the lock {layer.lock!r} does not exist")
    folders: tuple[str, ...] = ()
    files = [reading.files.add(manifest, manifest.name)]
    if layer.install == "project":
        tree = reading.folder(manifest.parent, ignore=_JUNK)
        files += [file for file in tree.files if file.path not in (manifest.name, "pixi.lock")]
        folders = tree.folders
    if lock.is_file():
        files.append(reading.files.add(lock, "pixi.lock"))
    arguments = tuple(shlex.split(layer.extra_args))
    return PixiInstall(
        tool=reading.image(recipe.PIXI_IMAGE),
        tree=tree_of(files, folders),
        manifest=manifest.name,
        environment=layer.environment,
        locked=lock.is_file() and "--frozen" not in arguments,
        arguments=arguments,
        secrets=layer.secrets,
    )


def script(layer: PixiScript, reading: Reading) -> PixiInstall:
    """The step of a script with `[tool.pixi]` tables, which become a manifest: pixi installs no scripts."""
    path = reading.root / layer.script
    metadata = inline_metadata(read_text(path, "the script"), path.name)
    pixi = table(metadata, "tool", "pixi")
    workspace = {"name": "script", "channels": ["conda-forge"], "platforms": _platforms(reading)}
    dependencies = dict(table(pixi, "dependencies"))
    if wanted := metadata.get("requires-python"):
        dependencies.setdefault("python", str(wanted))
    packages = _pypi(metadata.get("dependencies", []), path) | table(pixi, "pypi-dependencies")
    manifest: dict[str, object] = {
        **pixi,
        "workspace": {**workspace, **table(pixi, "workspace")},
        "dependencies": dependencies,
        "pypi-dependencies": packages,
    }
    lock = path.with_name(f"{path.name}.pixi.lock")
    files = [reading.files.made(toml_text(manifest), "pixi.toml")]
    if lock.is_file():
        files.append(reading.files.add(lock, "pixi.lock"))
    arguments = tuple(shlex.split(layer.extra_args))
    return PixiInstall(
        tool=reading.image(recipe.PIXI_IMAGE),
        tree=tree_of(files),
        manifest="pixi.toml",
        environment=layer.environment,
        locked=lock.is_file() and "--frozen" not in arguments,
        arguments=arguments,
        secrets=layer.secrets,
    )


def _platforms(reading: Reading) -> list[str]:
    return [_SUBDIRS[str(platform)] for platform in reading.platforms if str(platform) in _SUBDIRS]


def _pypi(dependencies: list[str], path: Path) -> dict[str, object]:
    """PEP 508 texts as pixi's table; what it cannot say is refused."""
    from packaging.requirements import InvalidRequirement, Requirement

    found: dict[str, object] = {}
    for text in dependencies:
        try:
            one = Requirement(text)
        except InvalidRequirement as error:
            raise InvalidInput(f"{path.name} asks for {text!r}, which is no PEP 508 requirement") from error
        if one.url or one.marker:
            raise InvalidInput(
                f"{path.name} asks for {text!r}, which pixi cannot say",
                hint="write it in [tool.pixi.pypi-dependencies]",
            )
        version = str(one.specifier) or "*"
        found[one.name] = {"version": version, "extras": sorted(one.extras)} if one.extras else version
    return found
