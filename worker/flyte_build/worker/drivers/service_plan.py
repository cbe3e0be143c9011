"""A plan that a client sent -> what the image line takes, as if it had been planned here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.builder.context import Context
from flyte_build.builder.resolve import ResolvedSpec
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import Target
from flyte_build.worker.access.targets import repository_of
from flyte_build.worker.builds.plans import Places, sizes_of, take
from flyte_build.worker.drivers.image import Planned

if TYPE_CHECKING:
    from pathlib import Path

    from flyte_build.worker.access.policy import Policy
    from flyte_build.worker.builds.request import BuildRequest


def planned(request: BuildRequest, policy: Policy) -> Planned:
    """The plan, known to be sound and allowed, with its verified files; raises as `take` and `repository_of`."""
    if request.places is None or request.context is None:
        raise AssertionError("a request in the form of a plan has places and a folder of files")
    places: Places = request.places
    repository = repository_of(request.target, policy)
    taken = take(request.spec, places, policy)
    spec = ImageSpec(
        name=repository.name,
        registry=str(repository).removesuffix(f"/{repository.name}"),
        base=str(taken.base),
        python=taken.plan.python,
        platforms=taken.plan.platforms,
    )
    files = {sha256: _checked(request.context / sha256, size) for sha256, size in sizes_of(taken.plan).items()}
    context = Context(base=taken.base, files=files, images=taken.images)
    resolved = ResolvedSpec(spec=spec, platforms=spec.platforms, layers=taken.plan.layers, context=context)
    tags = tuple(dict.fromkeys((taken.plan.tag, *places.tags)))
    return Planned(spec=spec, resolved=resolved, plan=taken.plan, target=Target(repository, tags))


def _checked(file: Path, size: int) -> Path:
    if not file.is_file() or file.stat().st_size != size:
        raise InvalidInput(f"the file {file.name[:12]}… of the plan has not the size that the plan says")
    return file
