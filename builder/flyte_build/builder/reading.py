"""A layer of a spec -> layers of the plan: the user's files get digests. One reader for every kind that has files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from flyte_build.builder import folders, requirements
from flyte_build.builder.files import FileSet, exists
from flyte_build.builder.plan import CopyFiles, FileTree, PipInstall, PlanLayer, is_folder
from flyte_build.builder.spec import Apt, Commands, Copy, Env, Layer, Pip, Requirements, User, Workdir
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError, InvalidInput
from flyte_build.registry.names import Digest, ImageName, ImageReference


class FoundBase(Protocol):
    """What the registry says of an image."""

    @property
    def reference(self) -> ImageReference:
        """The image, pinned."""
        ...


class BaseResolver(Protocol):
    """Whoever knows the digest of a base: a registry, or a lock."""

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """The base with its digest; an error when it is missing or lacks one of `platforms`."""
        ...


class NoBases:
    """For when only files are read."""

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:  # noqa: ARG002
        """Raises InvalidInput."""
        raise InvalidInput(f"the image {name} cannot be looked up here")


Skip = Callable[[Path], bool]


def nothing_skipped(path: Path) -> bool:  # noqa: ARG001
    """What an image without a dockerignore leaves out."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What readers of layers have in common: the spec's folder and Python, and what they found so far.

    `skip` says whether the dockerignore leaves a path of this machine out. `images` is where other images than the
    base lie, filled by `image`.
    """

    root: Path
    python: str | None
    platforms: tuple[Platform, ...]
    bases: BaseResolver
    skip: Skip = nothing_skipped
    files: FileSet = field(default_factory=FileSet)
    images: dict[Digest, ImageReference] = field(default_factory=dict)

    def image(self, name: str) -> Digest:
        """The digest of an image that a step takes something from."""
        try:
            reference = self.bases.resolve(ImageName.parse(name), self.platforms).reference
        except FlyteBuildError as error:
            error.args = (f"the image {name}, which a layer takes a tool from, cannot be used: {error.sentence}",)
            raise
        self.images[reference.digest] = reference
        return reference.digest

    def project(self, written: str, names: tuple[str, ...] = ("pyproject.toml",)) -> Path:
        """The file that says what a project is, one of `names`: `written` is that file or the folder that it is in."""
        path = self.root / written
        if path.is_file() and path.name in names:
            return path
        for name in names:
            if (path / name).is_file():
                return path / name
        hint = "name the folder that has one; paths are relative to the file of the spec"
        if path.is_dir():
            raise InvalidInput(f"the folder {written!r} has no {' and no '.join(names)}", hint=hint)
        what = "is not a project" if exists(path) else "does not exist"
        raise InvalidInput(f"{written!r} {what}", hint=hint)

    def folder(self, folder: Path, *, prefix: str = "", ignore: tuple[str, ...] = ()) -> FileTree:
        """Everything below `folder` but junk, `ignore` and what the dockerignore leaves out."""
        skip = None if self.skip is nothing_skipped else self.skip
        return folders.read(folder, self.files, prefix=prefix, ignore=ignore, skip=skip)


def read_layer(layer: Layer, reading: Reading) -> tuple[PlanLayer, ...]:
    """The layers of the plan; InvalidInput for files that cannot be read or named, or do not agree."""
    if isinstance(layer, Copy):
        return (_copied(layer, reading),)
    if isinstance(layer, Requirements):
        tree, main = requirements.read(reading.root / layer.file, reading.files)
        return (PipInstall(requirements=(main,), tree=tree, options=layer.options, secrets=layer.secrets),)
    if isinstance(layer, Pip):
        # In an order of our own: the one they were written in means nothing to people, and is a tie-breaker to uv.
        packages = tuple(sorted(dict.fromkeys(layer.packages)))
        return (PipInstall(packages=packages, options=layer.options, secrets=layer.secrets),)
    if isinstance(layer, Env):
        return (replace(layer, variables=tuple(sorted(layer.variables))),)
    if isinstance(layer, (Apt, Commands, Workdir, User)):
        return (layer,)
    # The readers of projects load what most images need not.
    from flyte_build.builder import reading_projects

    return reading_projects.read_project(layer, reading)


def _copied(layer: Copy, reading: Reading) -> CopyFiles:
    source = reading.root / layer.source
    if source.is_dir():
        prefix = "" if layer.contents else _own_name(layer)
        tree = reading.folder(source, prefix=prefix, ignore=layer.ignore)
        return CopyFiles(tree=tree, to=layer.to, owner=layer.owner)
    if source.is_file():
        _require_plain_name(source.name, layer.to)
        tree = FileTree(files=(reading.files.add(source, source.name),))
        return CopyFiles(tree=tree, to=layer.to, single=True, owner=layer.owner)
    what = "is neither a file nor a folder" if exists(source) else "does not exist"
    hint = "paths are relative to the file of the spec"
    if not exists(source) and set(layer.source) & set("*?["):
        hint = "`copy` takes one file or folder and no pattern: copy the folder, and leave out the rest by `ignore`"
    raise InvalidInput(f"{layer.source!r} {what}", hint=hint)


def _require_plain_name(name: str, to: str) -> None:
    """BuildKit looks for the files that it transfers one by one with patterns, and strips blanks from their names."""
    if not is_folder(to) and (name != name.strip() or set(name) & set("*?[\\")):
        raise InvalidInput(f"{name!r} has blanks at its ends or one of * ? [ \\", hint="end `to` with a slash")


def _own_name(layer: Copy) -> str:
    """The folder's name as written; `.` and `..` have none, or the image would depend on where the spec lies."""
    name = Path(os.path.normpath(layer.source)).name
    return "" if name == ".." else name
