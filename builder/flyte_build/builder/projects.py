"""Layers of a spec that are whole projects: what their own files ask for, installed. Paths are kept as written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flyte_build.builder.layers import Install, PipOptions, SecretMount


@dataclass(frozen=True, slots=True, kw_only=True)
class UvProject:
    """What the `pyproject.toml` in the folder `project` asks for, exactly as its `uv.lock` says if there is one.

    `install` is "dependencies", or "project" for the project itself too. `lock` is the lock file where it is not
    `uv.lock` in that folder. `options.extra_args` are those of `uv export` (`--group dev --extra x`).
    """

    kind: ClassVar[str] = "uv_project"
    project: str
    install: Install = "dependencies"
    lock: str | None = None
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UvScript:
    """What the inline metadata of a Python script asks for (PEP 723); the script itself is not copied."""

    kind: ClassVar[str] = "uv_script"
    script: str
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheels:
    """`package` from the wheels in `folder`, whatever an index has; its dependencies may come from the index."""

    kind: ClassVar[str] = "wheels"
    folder: str
    package: str
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryProject:
    """What the `pyproject.toml` and `poetry.lock` in the folder `project` ask for; as `UvProject` for the rest.

    `extra_args` are those of `poetry install` (`--only main --extras x`).
    """

    kind: ClassVar[str] = "poetry_project"
    project: str
    install: Install = "dependencies"
    lock: str | None = None
    extra_args: str = ""
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PixiProject:
    """An environment of the manifest `manifest` (`pixi.toml` or `pyproject.toml`), which becomes the image's own.

    With a `pixi.lock` beside it (or at `lock`) exactly that is installed. `extra_args` are those of `pixi install`.
    """

    kind: ClassVar[str] = "pixi_project"
    manifest: str
    install: Install = "dependencies"
    lock: str | None = None
    environment: str = "default"
    extra_args: str = ""
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PixiScript:
    """An environment of the inline metadata of a Python script with `[tool.pixi]` tables (PEP 723)."""

    kind: ClassVar[str] = "pixi_script"
    script: str
    environment: str = "default"
    extra_args: str = ""
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeBundle:
    """Those files below `folder` that `files` name (glob patterns relative to it), laid under `to`.

    Every pattern must match a file.
    """

    kind: ClassVar[str] = "code_bundle"
    folder: str
    files: tuple[str, ...]
    to: str = "."
    owner: str | None = None
