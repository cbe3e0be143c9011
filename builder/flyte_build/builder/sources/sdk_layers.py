"""Layers of the `flyte` SDK -> layers of a spec, by their class names. Reads the SDK's objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from flyte_build.builder.spec import (
    Apt,
    CodeBundle,
    Commands,
    Copy,
    Env,
    Install,
    Layer,
    Pip,
    PipOptions,
    PixiProject,
    PixiScript,
    PoetryProject,
    Requirements,
    SecretMount,
    UvProject,
    UvScript,
    Wheels,
    Workdir,
    sorted_variables,
)


def _options(layer: Any) -> PipOptions:  # noqa: ANN401
    return PipOptions(
        index_url=layer.index_url,
        extra_index_urls=tuple(layer.extra_index_urls or ()),
        pre=bool(layer.pre),
        extra_args=layer.extra_args or "",
    )


def secret_name(group: str | None, key: str) -> str:
    """The name under which a secret of the SDK's is mounted and looked up."""
    return f"{group}.{key}" if group else key


def _secrets(layer: Any) -> tuple[SecretMount, ...]:  # noqa: ANN401
    mounts = layer.secret_mounts or ()
    return tuple(_secret(mount) for mount in ((mounts,) if isinstance(mounts, str) else mounts))


def _secret(mount: Any) -> SecretMount:  # noqa: ANN401
    """A bare key means a variable too, named as `flyte.Secret` names it."""
    if isinstance(mount, str):
        return SecretMount(name=mount, env=mount.replace("-", "_").upper())
    return SecretMount(name=secret_name(mount.group, mount.key), env=mount.as_env_var)


def _pip(layer: Any) -> Layer | None:  # noqa: ANN401
    if not layer.packages:
        return None
    return Pip(packages=tuple(layer.packages), options=_options(layer), secrets=_secrets(layer))


def _copy(layer: Any) -> Layer:  # noqa: ANN401
    return Copy(source=str(layer.src), to=layer.dst or ".", contents=layer.path_type == 1)


def _install(layer: Any) -> Install:  # noqa: ANN401
    return "project" if layer.project_install_mode == "install_project" else "dependencies"


def _uv_project(layer: Any) -> Layer:  # noqa: ANN401
    return UvProject(
        project=str(layer.pyproject.parent),
        lock=str(layer.uvlock) if layer.uvlock else None,
        install=_install(layer),
        options=_options(layer),
        secrets=_secrets(layer),
    )


def _bundle(layer: Any) -> Layer | None:  # noqa: ANN401
    """The SDK says where the code is only when it goes into the image; else it travels beside it."""
    if layer.root_dir is None:
        return None
    from flyte._code_bundle._ignore import IgnoreGroup, StandardIgnore
    from flyte._code_bundle._utils import ls_files

    root = Path(layer.root_dir).resolve()
    listed, _ = ls_files(root, layer.copy_style, deref_symlinks=False, ignore_group=IgnoreGroup(root, StandardIgnore))
    files = sorted(Path(file).relative_to(root).as_posix() for file in listed)
    return CodeBundle(folder=str(root), files=tuple(files), to=layer.dst or ".")


LAYERS: dict[str, Callable[[Any], Layer | None]] = {
    "AptPackages": lambda layer: Apt(packages=tuple(layer.packages), secrets=_secrets(layer)),
    "PipPackages": _pip,
    "Requirements": lambda layer: Requirements(file=str(layer.file), options=_options(layer), secrets=_secrets(layer)),
    "Commands": lambda layer: Commands(commands=tuple(layer.commands), secrets=_secrets(layer)),
    "Env": lambda layer: Env(variables=sorted_variables(dict(layer.env_vars))),
    "WorkDir": lambda layer: Workdir(path=layer.workdir),
    "CopyConfig": _copy,
    "UVProject": _uv_project,
    "UVScript": lambda layer: UvScript(script=str(layer.script), options=_options(layer), secrets=_secrets(layer)),
    "PythonWheels": lambda layer: Wheels(
        folder=str(layer.wheel_dir), package=layer.package_name, options=_options(layer), secrets=_secrets(layer)
    ),
    "PoetryProject": lambda layer: PoetryProject(
        project=str(layer.pyproject.parent),
        lock=str(layer.poetry_lock),
        install=_install(layer),
        extra_args=layer.extra_args or "",
        secrets=_secrets(layer),
    ),
    "PixiProject": lambda layer: PixiProject(
        manifest=str(layer.manifest),
        lock=str(layer.pixi_lock) if layer.pixi_lock else None,
        install=_install(layer),
        environment=layer.environment,
        extra_args=layer.extra_args or "",
        secrets=_secrets(layer),
    ),
    "PixiScript": lambda layer: PixiScript(
        script=str(layer.script),
        environment=layer.environment,
        extra_args=layer.extra_args or "",
        secrets=_secrets(layer),
    ),
    "CodeBundleLayer": _bundle,
    # Belongs to the image, not to a place among its layers.
    "DockerIgnore": lambda _: None,
    # Labels of the SDK's default images: they say who made a base that is not theirs any more.
    "_DockerLines": lambda _: None,
}
