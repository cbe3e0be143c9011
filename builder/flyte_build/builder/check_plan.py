"""Everything that can be wrong with a plan that somebody else made: a spec was checked before it became one. Pure.

What holds for the layers of a spec holds for those of a plan, because text of both enters the same Dockerfile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from flyte_build.builder import check
from flyte_build.builder.check_pip import check_options, check_packages
from flyte_build.builder.check_plain import NUL, check_secrets
from flyte_build.builder.check_tree import check_tree
from flyte_build.builder.installs import (
    CopyFiles,
    Install,
    PinnedInstall,
    PipInstall,
    PixiInstall,
    PoetryInstall,
    ProjectInstall,
    UvSync,
    WheelInstall,
)
from flyte_build.builder.limits import require_size
from flyte_build.builder.plan import LayersPlan, PlanLayer
from flyte_build.builder.projects import PixiProject, Wheels
from flyte_build.builder.spec import Copy, ImageSpec
from flyte_build.builder.trees import FileTree, is_folder
from flyte_build.registry.errors import InvalidSpec, Problem

# A manifest enters an instruction as it is.
_MANIFEST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def require_sound(plan: LayersPlan) -> None:
    """Raises InvalidSpec with every problem of the plan."""
    problems = tuple(_problems(plan))
    if problems:
        raise InvalidSpec("the plan", problems)


def _problems(plan: LayersPlan) -> Iterator[Problem]:
    yield from check.head(ImageSpec(name="image", python=plan.python, platforms=plan.platforms))
    if not plan.platforms or plan.platforms != tuple(sorted(set(plan.platforms))):
        yield Problem("platforms", "are not sorted, at least one, each once")
    for number, layer in enumerate(plan.layers):
        for problem in _layer(layer):
            yield check.placed(problem, check.place(number, layer))
    yield from require_size(plan.trees())


def _layer(layer: PlanLayer) -> Iterator[Problem]:
    if isinstance(layer, CopyFiles):
        yield from check_tree(layer.tree)
        yield from _copy(layer)
    elif isinstance(layer, Install):
        yield from check_tree(layer.tree)
        yield from check_secrets(layer.secrets)
        options = getattr(layer, "options", None)
        if options is not None:
            yield from check_options(options)
        yield from _install(layer)
    else:
        yield from check.layer(layer)


def _copy(layer: CopyFiles) -> Iterator[Problem]:
    yield from check.layer(Copy(source="file", to=layer.to, owner=layer.owner))
    if layer.single:
        name = _only(layer.tree)
        if name is None:
            yield Problem("tree", "has not exactly one file at its root, which `single` needs")
        elif not is_folder(layer.to) and (name != name.strip() or set(name) & set("*?[\\\n\r")):
            yield Problem("tree", f"{name!r} is not a name that can be copied to another one")


def _install(layer: Install) -> Iterator[Problem]:
    if isinstance(layer, PipInstall):
        yield from check_packages(layer.packages) if layer.packages or not layer.requirements else ()
        if not set(layer.requirements) <= {file.path for file in layer.tree.files}:
            yield Problem("requirements", "are not all among the files")
    elif isinstance(layer, PinnedInstall) and _only(layer.tree) is None:
        yield Problem("tree", "has not exactly one file at its root")
    elif isinstance(layer, WheelInstall):
        yield from check.layer(Wheels(folder="wheels", package=layer.package))
    elif isinstance(layer, ProjectInstall):
        yield from _projects(layer)
    elif isinstance(layer, PixiInstall):
        yield from check.layer(PixiProject(manifest="pixi.toml", environment=layer.environment))
        if not _MANIFEST.fullmatch(layer.manifest):
            yield Problem("manifest", f"{layer.manifest!r} is not a plain file name (letters, digits and . _ -)")
    if isinstance(layer, (UvSync, PoetryInstall, PixiInstall)) and any(NUL in one for one in layer.arguments):
        yield Problem("arguments", "have a NUL character")


def _projects(layer: ProjectInstall) -> Iterator[Problem]:
    for project in layer.projects:
        if ".." in project.path.split("/") or NUL in project.path + project.marker:
            yield Problem("projects", f"{project.path!r} is not a place among the files")


def _only(tree: FileTree) -> str | None:
    """The name of a tree's only file."""
    if len(tree.files) != 1 or tree.folders or tree.files[0].link is not None or "/" in tree.files[0].path:
        return None
    return tree.files[0].path
