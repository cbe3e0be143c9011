"""What a plan installs -> steps of a Dockerfile. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from flyte_build.builder.installs import (
    Install,
    PinnedInstall,
    PipInstall,
    PixiInstall,
    PoetryInstall,
    ProjectInstall,
    UvSync,
    WheelInstall,
)
from flyte_build.builder.layers import PipOptions
from flyte_build.builder.lock import FILE_NAME as LOCK_FILE
from flyte_build.builder.quoting import copy_arguments
from flyte_build.builder.recipe import POETRY_VERSION
from flyte_build.builder.steps import MOUNT, Caches, Step, exports, run, secret_mounts
from flyte_build.builder.trees import FileTree, tree_folder

PIXI_PROJECT = "/opt/pixi-project"
PIXI_STAGE = "pixi"
# Every artifact is named by hash, so it does not matter which index answers.
_ANY_INDEX = ("--index-strategy", "unsafe-best-match")
# Beside what it installs from a folder uv writes that folder's time (uv_cache.json), which differs in every build.
_UV_LOCAL = "UV_NO_INSTALLER_METADATA=1 uv"


def install_steps(layer: Install, caches: Caches) -> Iterator[Step]:
    """The steps of one layer."""
    if isinstance(layer, PipInstall):
        yield _pip(layer, caches)
    elif isinstance(layer, PinnedInstall):
        yield _pins(layer, caches)
    elif isinstance(layer, ProjectInstall):
        yield _projects(layer, caches)
    elif isinstance(layer, UvSync):
        yield _sync(layer, caches)
    elif isinstance(layer, WheelInstall):
        yield _wheels(layer, caches)
    elif isinstance(layer, PoetryInstall):
        yield _poetry(layer, caches)
    else:
        yield from _pixi(layer, caches)


def _bind(tree: FileTree, place: str, *, writable: bool = False) -> str:
    """A tree at `place` during a step. What is written there is thrown away."""
    return f"--mount=type=bind,source={tree_folder(tree)},target={MOUNT}/{place}{',rw' if writable else ''}"


def _pip(layer: PipInstall, caches: Caches) -> Step:
    arguments = [*_pip_arguments(layer.options), *layer.packages]
    mounts = [caches.uv, *secret_mounts(layer.secrets)]
    title = f"pip packages: {' '.join(layer.packages)}"
    if layer.requirements:
        mounts.append(_bind(layer.tree, "requirements"))
        for file in layer.requirements:
            arguments += ["--requirement", f"{MOUNT}/requirements/{file}"]
        title = f"pip packages of {LOCK_FILE}" if layer.is_pinned else f"requirements: {' '.join(layer.requirements)}"
    command = f"uv pip install {shlex.join(arguments)}"
    return run(exports(layer.secrets) + command, title=title, mounts=tuple(mounts))


def _pip_arguments(options: PipOptions) -> Iterator[str]:
    if options.index_url is not None:
        yield from ("--default-index", options.index_url)
    for url in options.extra_index_urls:
        yield from ("--index", url)
    if options.pre:
        yield from ("--prerelease", "allow")
    yield from shlex.split(options.extra_args)


def _pins(layer: PinnedInstall, caches: Caches) -> Step:
    arguments = [*_pip_arguments(layer.options), *_ANY_INDEX, "--no-deps"]
    arguments += ["--requirement", f"{MOUNT}/requirements/{layer.tree.files[0].path}"]
    return run(
        f"{exports(layer.secrets)}uv pip install {shlex.join(arguments)}",
        title="locked packages",
        mounts=(caches.uv, *secret_mounts(layer.secrets), _bind(layer.tree, "requirements")),
    )


def _projects(layer: ProjectInstall, caches: Caches) -> Step:
    # Their sources are known to the lock already; a member alone could not even name its workspace.
    arguments = [*_pip_arguments(layer.options), *_ANY_INDEX, "--no-deps", "--no-sources", "--reinstall"]
    for project in layer.projects:
        marker = f" ; {project.marker}" if project.marker else ""
        arguments.append(f"{MOUNT}/projects/{project.path}{marker}")
    return run(
        f"{exports(layer.secrets)}{_UV_LOCAL} pip install {shlex.join(arguments)}",
        title=f"projects: {' '.join(project.path for project in layer.projects)}",
        mounts=(caches.uv, *secret_mounts(layer.secrets), _bind(layer.tree, "projects", writable=True)),
    )


def _sync(layer: UvSync, caches: Caches) -> Step:
    """The project's own settings count here, as they do where it is developed."""
    arguments = ["--active", "--inexact", "--no-editable", *_pip_arguments(layer.options), *layer.arguments]
    # uv tells sources apart by timestamps, which are all the same here.
    arguments += ["--refresh"] if layer.project else ["--no-install-project"]
    return run(
        f"{exports(layer.secrets)}unset UV_NO_CONFIG\ncd {MOUNT}/project && {_UV_LOCAL} sync {shlex.join(arguments)}",
        title="uv project without a lock",
        mounts=(caches.uv, *secret_mounts(layer.secrets), _bind(layer.tree, "project", writable=True)),
    )


def _wheels(layer: WheelInstall, caches: Caches) -> Step:
    """Dependencies first, from anywhere; then exactly the wheel in the folder, which an index might have outdone."""
    options = [*_pip_arguments(layer.options), "--find-links", f"{MOUNT}/wheels"]
    # uv tells wheels of one name apart by timestamps, which are all the same here.
    first = shlex.join([*options, "--refresh-package", layer.package.partition("[")[0], layer.package])
    exact = shlex.join([*options, "--no-deps", "--no-index", "--reinstall", layer.package])
    return run(
        f"{exports(layer.secrets)}{_UV_LOCAL} pip install {first} && {_UV_LOCAL} pip install {exact}",
        title=f"wheel: {layer.package}",
        mounts=(caches.uv, *secret_mounts(layer.secrets), _bind(layer.tree, "wheels")),
    )


def _poetry(layer: PoetryInstall, caches: Caches) -> Step:
    arguments = ["install", "--no-interaction", "--no-ansi", "--compile", "--no-root", *layer.arguments]
    tool = f"uv tool run --quiet --from poetry=={POETRY_VERSION} poetry"
    settings = (
        f"POETRY_CACHE_DIR={MOUNT}/poetry-cache UV_TOOL_DIR={MOUNT}/poetry-cache/tools POETRY_VIRTUALENVS_CREATE=false"
    )
    return run(
        f"{exports(layer.secrets)}cd {MOUNT}/project && {settings} {tool} {shlex.join(arguments)}",
        title="poetry project",
        mounts=(caches.uv, caches.poetry, *secret_mounts(layer.secrets), _bind(layer.tree, "project", writable=True)),
    )


def _pixi(layer: PixiInstall, caches: Caches) -> Iterator[Step]:
    """The environment stays where it was made: conda packages hold its path."""
    binary = copy_arguments("/usr/local/bin/pixi", "/usr/local/bin/pixi")
    yield Step(instruction=f"COPY --from={pixi_stage(layer)} {binary}", title="pixi")
    files = copy_arguments(f"{tree_folder(layer.tree)}/", f"{PIXI_PROJECT}/")
    yield Step(instruction=f"COPY {files}", title="pixi manifest")
    arguments = ["install", "--manifest-path", f"{PIXI_PROJECT}/{layer.manifest}", "--environment", layer.environment]
    arguments += [*(["--locked"] if layer.locked else []), *layer.arguments]
    yield run(
        f"{exports(layer.secrets)}PIXI_CACHE_DIR={MOUNT}/pixi-cache pixi {shlex.join(arguments)}",
        title=f"pixi environment {layer.environment}",
        mounts=(caches.pixi, *secret_mounts(layer.secrets)),
    )
    place = f"{PIXI_PROJECT}/.pixi/envs/{layer.environment}"
    yield Step(
        instruction=f'ENV VIRTUAL_ENV="{place}" PATH="{place}/bin:$PATH"'
        f' PIXI_PROJECT_MANIFEST="{PIXI_PROJECT}/{layer.manifest}"',
        title="environment of pixi",
        runs=False,
    )


def pixi_stage(layer: PixiInstall) -> str:
    """The name under which the image that has pixi is handed to BuildKit."""
    return f"{PIXI_STAGE}-{layer.tool.hex[:16]}"
