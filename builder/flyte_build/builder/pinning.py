"""How a request of packages becomes exact versions: by the lock, or resolved anew. Implementations of `Pinning`."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

from flyte_build.builder.canonical import digest_of
from flyte_build.builder.files import FileSet
from flyte_build.builder.installs import PINNED_ARGUMENTS, PINS_FILE
from flyte_build.builder.lock import FILE_NAME, Lock
from flyte_build.builder.machine import Machine
from flyte_build.builder.plan import FileTree, PipInstall, PixiInstall, PlanFile, PlanLayer, UvSync, WheelInstall
from flyte_build.builder.resolution import compile_pins, python_of
from flyte_build.builder.spec import Apt, ImageSpec, PipOptions
from flyte_build.builder.uv import cache_folder
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Digest, ImageName, ImageReference


@dataclass(slots=True)
class Locked:
    """Requests enter the plan as the lock has them; InvalidInput for one that it lacks."""

    lock: Lock
    _before: tuple[str, ...] = ()

    def pin(self, layer: PipInstall, spec: ImageSpec, files: FileSet) -> PipInstall:
        """The exact versions and hashes of the lock."""
        pins = self.lock.pins(request_digest(layer, spec, self._before))
        if pins is None:
            raise InvalidInput(f"{FILE_NAME} has no versions for this request of packages", hint="renew it: --update")
        self._before = (*self._before, *pins)
        return pinned(layer, pins, files)


@dataclass(slots=True)
class Updating:
    """Requests are resolved anew on this machine, for the image's platforms, and written into `lock`."""

    machine: Machine
    lock: Lock = field(default_factory=Lock)
    _before: tuple[str, ...] = ()

    def pin(self, layer: PipInstall, spec: ImageSpec, files: FileSet) -> PipInstall:
        """Exact versions and hashes; PackageIndexError when they cannot be found."""
        pins = compile_pins(layer, spec, files.sources, self._before, self.machine)
        self.lock = self.lock.with_pins(request_digest(layer, spec, self._before), pins)
        self._before = (*self._before, *pins)
        return pinned(layer, pins, files)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    kind: ClassVar[str] = "lock-request"
    packages: tuple[str, ...]
    requirements: tuple[str, ...]
    tree: FileTree
    options: PipOptions
    python: str
    before: tuple[str, ...]


def request_digest(layer: PipInstall, spec: ImageSpec, before: tuple[str, ...]) -> Digest:
    """The name of a request in a lock: all that a resolution depends on, but for the index and the day."""
    return digest_of(
        _Request(
            packages=layer.packages,
            requirements=layer.requirements,
            tree=layer.tree,
            options=layer.options,
            python=python_of(spec),
            before=before,
        )
    )


def pinned(layer: PipInstall, pins: tuple[str, ...], files: FileSet) -> PipInstall:
    """`layer` with a requirements file of `pins` instead of what was asked."""
    content = "".join(f"{pin}\n" for pin in pins).encode()
    sha256 = hashlib.sha256(content).hexdigest()
    place = cache_folder() / "pins" / sha256
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as writer:
            writer.write(content)
        Path(writer.name).replace(place)
    files.sources.setdefault(sha256, place)
    tree = FileTree(files=(PlanFile(path=PINS_FILE, sha256=sha256, size=len(content)),))
    options = replace(layer.options, extra_args=f"{layer.options.extra_args} {PINNED_ARGUMENTS}".strip())
    return PipInstall(requirements=(PINS_FILE,), tree=tree, options=options, secrets=layer.secrets)


def unpinned(layers: tuple[PlanLayer, ...]) -> tuple[str, ...]:
    """What a lock does not pin although it is installed, in sentences for a person.

    Raises InvalidInput for a project whose own lock is missing: it would be resolved in the build.
    """
    notes: list[str] = []
    for layer in layers:
        if isinstance(layer, UvSync) or (isinstance(layer, PixiInstall) and not layer.locked):
            tool = "uv" if isinstance(layer, UvSync) else "pixi"
            raise InvalidInput(
                f"a {tool} project without {tool}.lock is resolved in the build, so {FILE_NAME} cannot pin it",
                hint=f"run `{tool} lock` beside it",
            )
        if isinstance(layer, Apt):
            notes.append(
                f"Debian packages are not in {FILE_NAME}: {' '.join(layer.packages)} are the archive's of the day"
            )
        if isinstance(layer, WheelInstall):
            notes.append(
                f"what the wheel {layer.package} depends on is not in {FILE_NAME}: list it in a pip layer before"
            )
    return tuple(notes)


class FoundBase(Protocol):
    """What the registry says of an image."""

    @property
    def reference(self) -> ImageReference:
        """The image, pinned."""
        ...


class Bases(Protocol):
    """Whoever knows bases by name: a registry."""

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """As `BaseResolver.resolve`."""
        ...


@dataclass(slots=True)
class LockedBases:
    """Bases by the digests of a lock; those that it lacks by the registry, or with `strict` not at all.

    `taken` are the names whose digest was the lock's.
    """

    lock: Lock
    bases: Bases
    strict: bool = False
    taken: list[ImageName] = field(default_factory=list)

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """As `BaseResolver.resolve`; the registry still says whether the platforms are there."""
        digest = name.digest or self.lock.base(name)
        if digest is not None and name.digest is None:
            self.taken.append(name)
        if digest is None and self.strict:
            raise InvalidInput(f"{FILE_NAME} has no digest for {name}", hint="renew it: --update")
        return self.bases.resolve(replace(name, digest=digest), platforms)
