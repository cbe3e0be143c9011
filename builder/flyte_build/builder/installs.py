"""The layers of a plan that need files: what exactly is installed or copied. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flyte_build.builder.layers import PipOptions, SecretMount
from flyte_build.builder.trees import FileTree
from flyte_build.registry.names import Digest

# What a lock makes of a request of packages (`pinning.py`).
PINS_FILE, PINNED_ARGUMENTS = "pins.txt", "--require-hashes --no-deps"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipInstall:
    """`uv pip install` of requirements, and of requirement files in `tree` by their paths there."""

    kind: ClassVar[str] = "pip"
    packages: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    tree: FileTree = FileTree()
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()

    @property
    def is_pinned(self) -> bool:
        """Whether all of it are exact versions of a lock's."""
        return self.requirements == (PINS_FILE,) and self.options.extra_args.endswith(PINNED_ARGUMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFiles:
    """The files of `tree`, laid under the folder `to`; or with `single`, its one file as Docker's COPY puts a file."""

    kind: ClassVar[str] = "copy"
    tree: FileTree
    to: str
    single: bool = False
    owner: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedInstall:
    """`uv pip install` of exactly the lines of the one requirements file in `tree`; nothing is resolved."""

    kind: ClassVar[str] = "pins"
    tree: FileTree
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProject:
    """A project or distribution by its path in a tree, installed where `marker` (PEP 508, may be empty) holds."""

    path: str
    marker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectInstall:
    """Projects of the user's own, built from `tree` and installed, without what they depend on."""

    kind: ClassVar[str] = "project"
    tree: FileTree
    projects: tuple[LocalProject, ...]
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UvSync:
    """`uv sync` of a project without a lock. `arguments` are the person's own; `project` installs it too."""

    kind: ClassVar[str] = "uv_sync"
    tree: FileTree
    arguments: tuple[str, ...] = ()
    project: bool = False
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelInstall:
    """`package` from the wheels at the root of `tree`."""

    kind: ClassVar[str] = "wheels"
    tree: FileTree
    package: str
    options: PipOptions = PipOptions()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoetryInstall:
    """`poetry install --no-root` of the project at the root of `tree`, by a Poetry that stays out of the image."""

    kind: ClassVar[str] = "poetry"
    tree: FileTree
    arguments: tuple[str, ...] = ()
    secrets: tuple[SecretMount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PixiInstall:
    """`pixi install` of the manifest at the root of `tree`, by the binary of the image `tool`."""

    kind: ClassVar[str] = "pixi"
    tool: Digest
    tree: FileTree
    manifest: str
    environment: str = "default"
    locked: bool = False
    arguments: tuple[str, ...] = ()
    secrets: tuple[SecretMount, ...] = ()


Install = PipInstall | PinnedInstall | ProjectInstall | UvSync | WheelInstall | PoetryInstall | PixiInstall
