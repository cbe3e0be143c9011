"""Wrappers of engines: ask before building, fail before building."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from flyte_build.builder.context import Context
from flyte_build.builder.dockerfile import SPEC_DIGEST_LABEL
from flyte_build.builder.engine import BuildOptions, BuiltImage, Engine
from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import RegistryConflict
from flyte_build.registry.names import ImageName, ImageReference, Repository, Target


class Found(Protocol):
    """What a registry says is there."""

    @property
    def reference(self) -> ImageReference:
        """The image, pinned."""
        ...

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """What it can run on."""
        ...

    @property
    def annotations(self) -> tuple[tuple[str, str], ...]:
        """Of the manifest or index that the name points at."""
        ...

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """Of a single image."""
        ...


class Finder(Protocol):
    """Whoever can say truthfully whether an image exists."""

    def find(self, name: ImageName) -> Found | None:
        """What is there, None if nothing is; an error when the question cannot be answered."""
        ...


class Pusher(Protocol):
    """Whoever can say whether a push would be accepted."""

    def push_check(self, repository: Repository) -> None:
        """Raises RegistryError when we may not push there."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """Ask, else build: a target that already names this plan's image is the answer."""

    engine: Engine
    registry: Finder

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`; `status` is `exists` when nothing had to be done."""
        started = time.monotonic()
        existing = existing_image(plan, target, self.registry)
        if existing is None:
            return self.engine.build(plan, context, target, options)
        return BuiltImage(
            spec_digest=plan.spec_digest,
            digest=existing.reference.digest,
            reference=existing.reference,
            platforms=plan.platforms,
            status="exists",
            engine="registry",
            seconds=time.monotonic() - started,
        )


def existing_image(plan: BuildPlan, target: Target, registry: Finder) -> Found | None:
    """The image of `plan` in the target's repository, for every platform of the plan; else None.

    Raises RegistryConflict when the tag that is this plan's names something that was not made from it.
    """
    name = ImageName(target.repository, plan.tag)
    found = registry.find(name)
    if found is None:
        return None
    made_of = dict(found.labels) | dict(found.annotations)
    if made_of.get(SPEC_DIGEST_LABEL) != str(plan.spec_digest):
        said = made_of.get(SPEC_DIGEST_LABEL, "nothing")
        raise RegistryConflict(
            f"{name} exists, but was not made from this spec: it says {said}, and the spec is {plan.spec_digest}",
            hint="find out who pushed it; --force builds the image and takes the tag",
        )
    return found if set(plan.platforms) <= set(found.platforms) else None


@dataclass(frozen=True, slots=True)
class Preflighted:
    """Prove that the target can be pushed to before anything is built."""

    engine: Engine
    registry: Pusher

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        """As `Engine.build`; a refusal of the registry comes before the first step."""
        if options.output == "push":
            self.registry.push_check(target.repository)
        return self.engine.build(plan, context, target, options)
