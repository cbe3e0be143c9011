"""How a request of packages becomes exact versions: by the lock, or resolved anew. Implementations of `Pinning`."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

from flyte_build.builder.canonical import digest_of
from flyte_build.builder.files import FileSet
from flyte_build.builder.lock import FILE_NAME, Lock
from flyte_build.builder.machine import Machine
from flyte_build.builder.plan import FileTree, PipInstall, PixiInstall, PlanFile, PlanLayer, UvSync, WheelInstall
from flyte_build.builder.spec import Apt, ImageSpec, PipOptions
from flyte_build.builder.uv import cache_folder, host_uv
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput, PackageIndexError
from flyte_build.registry.names import Digest, ImageName, ImageReference

PINS_FILE = "pins.txt"
# Of `uv pip install` and `uv pip compile` alike (uv's command reference).
_CHOOSE = frozenset({"--no-deps", "--no-build", "--pre", "--no-index"})
_CHOOSE_BY_VALUE = frozenset(
    {
        "--exclude-newer",
        "--fork-strategy",
        "--index-strategy",
        "--no-binary",
        "--only-binary",
        "--prerelease",
        "--resolution",
    }
)
_TIMEOUT = 600
_ART = " \u2570\u2500\u25b6\u00d7\u2502"  # what uv draws its explanations with


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
            python=_python(spec),
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
    options = replace(layer.options, extra_args=f"{layer.options.extra_args} --require-hashes --no-deps".strip())
    return PipInstall(requirements=(PINS_FILE,), tree=tree, options=options, secrets=layer.secrets)


def compile_pins(
    layer: PipInstall, spec: ImageSpec, sources: Mapping[str, Path], before: tuple[str, ...], machine: Machine
) -> tuple[str, ...]:
    """Resolve one request with uv: a line per package, with its hashes and, where platforms differ, its marker.

    Raises PackageIndexError with uv's reason when there is no solution.
    """
    with tempfile.TemporaryDirectory(prefix="flyte-build-lock-") as folder:
        work = Path(folder)
        _lay(layer, sources, work, before)
        argv = [str(host_uv()), "pip", "compile", "--universal", "--python-version", _python(spec), "--no-config"]
        argv += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", "--constraint", "before.txt"]
        argv += [*_index_arguments(layer.options), *_choices(layer.options), "asked.in"]
        done = subprocess.run(
            argv, cwd=work, env=_environment(machine), capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    if done.returncode != 0:
        reason = " ".join(line.strip(_ART) for line in done.stderr.splitlines() if line.strip())
        raise PackageIndexError(f"the packages of {spec.name!r} cannot be resolved: {reason[:600]}")
    return tuple(_joined(done.stdout))


def _lay(layer: PipInstall, sources: Mapping[str, Path], work: Path, before: tuple[str, ...]) -> None:
    for file in layer.tree.files:
        place = work / "files" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(sources[file.sha256].read_bytes())
    asked = [*layer.packages, *(f"-r files/{name}" for name in layer.requirements)]
    (work / "asked.in").write_text("".join(f"{line}\n" for line in asked), encoding="utf-8")
    # What earlier layers installed stays as it is; hashes are no constraints.
    constraints = [pin.partition(" --hash")[0] for pin in before]
    (work / "before.txt").write_text("".join(f"{line}\n" for line in constraints), encoding="utf-8")


def _joined(text: str) -> list[str]:
    """Lines of a requirements file, continued ones joined; comments left out."""
    lines = text.replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def _index_arguments(options: PipOptions) -> list[str]:
    arguments = ["--default-index", options.index_url] if options.index_url else []
    for url in options.extra_index_urls:
        arguments += ["--index", url]
    return [*arguments, "--prerelease", "allow"] if options.pre else arguments


def _choices(options: PipOptions) -> list[str]:
    """Those of the layer's extra arguments that decide what is installed, so that the same is decided here."""
    found: list[str] = []
    rest = iter(shlex.split(options.extra_args))
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in _CHOOSE_BY_VALUE:
            found += [flag, value if equals else next(rest, "")]
        elif argument in _CHOOSE:
            found.append(argument)
    return found


def _environment(machine: Machine) -> dict[str, str]:
    environment = dict(os.environ)
    if machine.ca is not None:
        environment["SSL_CERT_FILE"] = str(machine.ca)
    if machine.index_url:
        environment["UV_DEFAULT_INDEX"] = machine.index_url
    if machine.extra_index_urls:
        environment["UV_INDEX"] = " ".join(machine.extra_index_urls)
    return environment


def _python(spec: ImageSpec) -> str:
    if spec.python is None:
        raise InvalidInput(f"the image {spec.name!r} does not say its Python", hint="a lock needs `python`, like 3.12")
    return spec.python


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


@dataclass(frozen=True, slots=True)
class LockedBases:
    """Bases by the digests of a lock; those that it lacks by the registry, or with `strict` not at all."""

    lock: Lock
    bases: Bases
    strict: bool = False

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """As `BaseResolver.resolve`; the registry still says whether the platforms are there."""
        digest = name.digest or self.lock.base(name)
        if digest is None and self.strict:
            raise InvalidInput(f"{FILE_NAME} has no digest for {name}", hint="renew it: --update")
        return self.bases.resolve(replace(name, digest=digest), platforms)
