"""Exactly what will be built, and its name.

A `BuildPlan` holds no path of the machine it was made on, no secret value, no credential: only what changes the
image. Its canonical encoding is its identity (`spec_digest`), the first 40 hex digits of that its tag.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from flyte_build.builder.canonical import digest_of
from flyte_build.builder.installs import (
    CopyFiles,
    Install,
    LocalProject,
    PinnedInstall,
    PipInstall,
    PixiInstall,
    PoetryInstall,
    ProjectInstall,
    UvSync,
    WheelInstall,
)
from flyte_build.builder.recipe import RECIPE
from flyte_build.builder.spec import Apt, Commands, Env, ImageSpec, User, Workdir
from flyte_build.builder.trees import FileTree, PlanFile, is_folder, tree_folder
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.names import Digest, ImageReference

__all__ = [
    "BuildPlan",
    "CopyFiles",
    "DockerfileParts",
    "DockerfilePlan",
    "FileTree",
    "LayersPlan",
    "LocalProject",
    "PinnedInstall",
    "PipInstall",
    "PixiInstall",
    "PlanFile",
    "PlanImage",
    "PlanLayer",
    "PoetryInstall",
    "ProjectInstall",
    "Resolved",
    "UvSync",
    "WheelInstall",
    "is_folder",
    "plan",
    "tree_folder",
]
TAG_LENGTH = 40

PlanLayer = Apt | Commands | Env | Workdir | User | CopyFiles | Install


class BuildPlan(Protocol):
    """What will be built, of whatever kind. Encodable by `canonical`."""

    @property
    def recipe(self) -> int:
        """The rules that it was made by."""
        ...

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Sorted, at least one."""
        ...

    @property
    def layers(self) -> tuple[PlanLayer, ...]:
        """What is laid on the base, as far as it is known."""
        ...

    @property
    def spec_digest(self) -> Digest:
        """The identity of the image: sha256 of the canonical encoding."""
        ...

    @property
    def tag(self) -> str:
        """The name that goes into the registry."""
        ...

    def trees(self) -> tuple[FileTree, ...]:
        """Every file tree that the build needs."""
        ...


class _Named:
    __slots__ = ()

    @property
    def spec_digest(self) -> Digest:
        """The identity of the image: sha256 of the canonical encoding."""
        return digest_of(self)

    @property
    def tag(self) -> str:
        """The name that goes into the registry."""
        return self.spec_digest.hex[:TAG_LENGTH]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersPlan(_Named):
    """Layers on a base. `base` is the digest of the base's manifest or index: where it lies is no part of it."""

    kind: ClassVar[str] = "plan"
    recipe: int
    base: Digest
    python: str | None
    platforms: tuple[Platform, ...]
    layers: tuple[PlanLayer, ...]

    def trees(self) -> tuple[FileTree, ...]:
        """Every file tree that the build needs."""
        return tuple(layer.tree for layer in self.layers if isinstance(layer, (CopyFiles, Install)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanImage:
    """An image by its name in a Dockerfile, and what that name stood for."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfilePlan(_Named):
    """A Dockerfile of the user's, the files beside it that it may read, and the images that it names."""

    kind: ClassVar[str] = "dockerfile"
    recipe: int
    text: str
    tree: FileTree
    images: tuple[PlanImage, ...]
    platforms: tuple[Platform, ...]

    @property
    def layers(self) -> tuple[PlanLayer, ...]:
        """None that we know."""
        return ()

    def trees(self) -> tuple[FileTree, ...]:
        """The context."""
        return (self.tree,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerfileParts:
    """What a Dockerfile plan is made of beside its platforms."""

    text: str
    tree: FileTree
    images: tuple[PlanImage, ...]


class Resolved(Protocol):
    """What a plan is made of, with everything looked up."""

    @property
    def spec(self) -> ImageSpec:
        """What was asked."""
        ...

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """Sorted, at least one."""
        ...

    @property
    def layers(self) -> tuple[PlanLayer, ...]:
        """In the order of the spec."""
        ...

    @property
    def base(self) -> ImageReference:
        """The base, pinned."""
        ...

    @property
    def dockerfile(self) -> DockerfileParts | None:
        """What a spec that is a Dockerfile has in place of layers."""
        ...


def plan(resolved: Resolved) -> LayersPlan | DockerfilePlan:
    """ResolvedSpec -> BuildPlan by the current recipe."""
    if (parts := resolved.dockerfile) is not None:
        return DockerfilePlan(
            recipe=RECIPE, text=parts.text, tree=parts.tree, images=parts.images, platforms=resolved.platforms
        )
    return LayersPlan(
        recipe=RECIPE,
        base=resolved.base.digest,
        python=resolved.spec.python,
        platforms=resolved.platforms,
        layers=resolved.layers,
    )
