"""ImageSpec -> ResolvedSpec: the only step before the build that looks at the world, and it only reads.

The base gets its digest from the registry, every file gets its own. All problems of a spec are found in one go.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flyte_build.builder import canonical, check
from flyte_build.builder.context import Context
from flyte_build.builder.dockerignore import Dockerignore
from flyte_build.builder.files import FileSet, read_text
from flyte_build.builder.limits import require_size
from flyte_build.builder.plan import DockerfileParts, PipInstall, PlanLayer
from flyte_build.builder.reading import BaseResolver, FoundBase, Reading, Skip, nothing_skipped, read_layer
from flyte_build.builder.spec import DEFAULT_PLATFORMS, ImageSpec, Layer
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, InvalidSpec, Problem
from flyte_build.registry.names import ImageName, ImageReference

__all__ = ["AS_WRITTEN", "AsWritten", "BaseResolver", "FoundBase", "Pinning", "ResolvedSpec", "resolve"]


class Pinning(Protocol):
    """What a layer of packages installs in the end: as written, by a lock, or resolved anew (`pinning`)."""

    def pin(self, layer: PipInstall, spec: ImageSpec, files: FileSet) -> PipInstall:
        """The layer as it enters the plan; called for the layers of a spec in their order."""
        ...


class AsWritten:
    """Requests enter the plan as they were written, and are resolved while the image is built."""

    def pin(self, layer: PipInstall, spec: ImageSpec, files: FileSet) -> PipInstall:  # noqa: ARG002
        """`layer`."""
        return layer


AS_WRITTEN = AsWritten()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSpec:
    """A spec whose base and files have digests. `layers` are the plan's; `context` says where things lie.

    `dockerfile` is there for a spec that is a Dockerfile; `base` is then one of its images.
    """

    spec: ImageSpec
    platforms: tuple[Platform, ...]
    layers: tuple[PlanLayer, ...]
    context: Context
    dockerfile: DockerfileParts | None = None

    @property
    def base(self) -> ImageReference:
        """The base, pinned."""
        return self.context.base


def resolve(spec: ImageSpec, root: Path, bases: BaseResolver, pins: Pinning = AS_WRITTEN) -> ResolvedSpec:
    """Look up the base and read the files of `spec`, whose paths are relative to `root`.

    `pins` says what becomes of requests of packages: as written (the default), or exact versions.

    Raises InvalidSpec with every problem of the spec, or RegistryError when the base cannot be looked up.
    """
    problems = list(check.head(spec))
    if spec.dockerfile is not None:
        return _resolve_dockerfile(spec, root, bases, problems)
    reading = _reading(spec, root, bases, problems)
    layers: list[PlanLayer] = []
    for number, layer in enumerate(spec.layers):
        found = list(check.layer(layer))
        if not found:
            try:
                resolved = _resolve_layer(layer, reading)
                layers += [_pinned(one, pins, spec, reading.files) for one in resolved]
            except InvalidInput as error:
                found = [_problem("", error)]
        problems += [check.placed(problem, check.place(number, layer)) for problem in found]
    problems += require_size(tree for layer in layers if (tree := getattr(layer, "tree", None)) is not None)
    if reading.files.full and not problems:
        raise AssertionError("files were not read, and nothing is said to be too large")
    if problems:
        raise InvalidSpec(f"image {spec.name!r}", tuple(problems))
    base = _resolve_base(spec, reading.platforms, bases)
    context = Context(base=base, files=reading.files.sources, images=reading.images)
    return ResolvedSpec(spec=spec, platforms=reading.platforms, layers=tuple(layers), context=context)


def _resolve_dockerfile(spec: ImageSpec, root: Path, bases: BaseResolver, problems: list[Problem]) -> ResolvedSpec:
    from flyte_build.builder import reading_dockerfile

    file, files = root / (spec.dockerfile or ""), FileSet()
    try:
        source = reading_dockerfile.read(file)
        tree = reading_dockerfile.context_tree(file, source, files)
        problems += require_size((tree,))
    except InvalidInput as error:
        problems.append(_problem("dockerfile", error))
    if problems:
        raise InvalidSpec(f"image {spec.name!r}", tuple(problems))
    platforms = tuple(sorted(set(spec.platforms or DEFAULT_PLATFORMS)))
    with _naming(spec, "an image that the Dockerfile takes from"):
        images, places = reading_dockerfile.find_images(source, bases, platforms)
    context = Context(base=places[images[0].digest], files=files.sources, images=places)
    parts = DockerfileParts(text=source.text, tree=tree, images=images)
    return ResolvedSpec(spec=spec, platforms=platforms, layers=(), context=context, dockerfile=parts)


def _reading(spec: ImageSpec, root: Path, bases: BaseResolver, problems: list[Problem]) -> Reading:
    skip: Skip = nothing_skipped
    try:
        if spec.dockerignore is not None and not problems:
            skip = skip_of(root / spec.dockerignore)
    except InvalidInput as error:
        problems.append(_problem("dockerignore", error))
    platforms = () if problems else tuple(sorted(set(spec.platforms or DEFAULT_PLATFORMS)))
    return Reading(root=root, python=spec.python, platforms=platforms, bases=bases, skip=skip)


def skip_of(file: Path) -> Skip:
    """What a file of Docker's ignore patterns leaves out."""
    ignore, root = Dockerignore.parse(read_text(file, "the dockerignore")), file.absolute().parent

    def skip(path: Path) -> bool:
        return path.is_relative_to(root) and ignore.excludes(path.relative_to(root).as_posix())

    return skip


def _problem(path: str, error: InvalidInput) -> Problem:
    return Problem(path, f"{error.sentence} ({error.hint})" if error.hint else error.sentence)


def _resolve_base(spec: ImageSpec, platforms: tuple[Platform, ...], bases: BaseResolver) -> ImageReference:
    name = ImageName.parse(spec.base_name)
    with _naming(spec, f"the base image {name}"):
        return bases.resolve(name, platforms).reference


@contextmanager
def _naming(spec: ImageSpec, what: str) -> Iterator[None]:
    """What of whose it is that cannot be looked up."""
    try:
        yield
    except FlyteBuildError as error:
        error.args = (f"{what} of {spec.name!r} cannot be used: {error.sentence}",)
        raise


def _resolve_layer(layer: Layer, reading: Reading) -> tuple[PlanLayer, ...]:
    """The layers of the plan; InvalidInput for files that cannot be read or named."""
    try:
        resolved = read_layer(layer, reading)
    except OSError as error:
        raise InvalidInput(f"{error.filename} cannot be read: {error.strerror}") from error
    for one in resolved:
        canonical.encode(one)
    return resolved


def _pinned(layer: PlanLayer, pins: Pinning, spec: ImageSpec, files: FileSet) -> PlanLayer:
    return pins.pin(layer, spec, files) if isinstance(layer, PipInstall) else layer
