"""Ask before building: what counts as the image of a plan."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.builder.doubles import AMD64, ARM64, image, planned, resolved

from flyte_build.builder.context import Context
from flyte_build.builder.dockerfile import SPEC_DIGEST_LABEL
from flyte_build.builder.engine import BuildOptions, BuiltImage
from flyte_build.builder.once import Preflighted, existing_image
from flyte_build.builder.plan import BuildPlan
from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import RegistryConflict, RegistryDenied
from flyte_build.registry.names import Digest, ImageName, ImageReference, Repository, Target

REPOSITORY = Repository.parse("registry.test/team/image")
PLAN = planned(image(platforms=(AMD64, ARM64)))
TARGET = Target(REPOSITORY, (PLAN.tag,))
OURS = ((SPEC_DIGEST_LABEL, str(PLAN.spec_digest)),)


@dataclass(frozen=True, kw_only=True)
class There:
    """What the registry has under every name, or nothing."""

    platforms: tuple[Platform, ...] = (AMD64, ARM64)
    annotations: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    reference: ImageReference = ImageReference(REPOSITORY, Digest("sha256", "0" * 64))


@dataclass(frozen=True)
class Registry:
    """One answer to every question; remembers nothing."""

    there: There | None

    def find(self, name: ImageName) -> There | None:
        assert name == ImageName(REPOSITORY, PLAN.tag)
        return self.there


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(There(annotations=OURS), id="an index that says so"),
        pytest.param(There(labels=OURS), id="a single image whose label says so"),
        pytest.param(There(annotations=OURS, platforms=(AMD64, ARM64, Platform("linux", "s390x"))), id="one for more"),
    ],
)
def test_what_says_that_it_was_made_from_the_plan_is_the_image(there: There) -> None:
    assert existing_image(PLAN, TARGET, Registry(there)) is there


def test_nothing_there_is_nothing() -> None:
    assert existing_image(PLAN, TARGET, Registry(None)) is None


def test_an_image_for_fewer_platforms_has_to_be_built() -> None:
    assert existing_image(PLAN, TARGET, Registry(There(annotations=OURS, platforms=(AMD64,)))) is None


@pytest.mark.parametrize(
    "there",
    [
        pytest.param(There(), id="that says nothing"),
        pytest.param(There(labels=((SPEC_DIGEST_LABEL, "sha256:" + "1" * 64),)), id="of another spec"),
        pytest.param(
            There(labels=OURS, annotations=((SPEC_DIGEST_LABEL, "sha256:" + "1" * 64),)),
            id="whose annotation contradicts its label",
        ),
    ],
)
def test_a_tag_that_names_something_else_is_said_and_not_used(there: There) -> None:
    with pytest.raises(RegistryConflict, match="was not made from this spec"):
        existing_image(PLAN, TARGET, Registry(there))


class Refusing:
    """A registry that takes nothing."""

    def push_check(self, repository: Repository) -> None:
        raise RegistryDenied(f"{repository} takes nothing")


class Began(Exception):
    """The first step."""


class Beginning:
    """An engine that is only seen to begin."""

    def build(self, plan: BuildPlan, context: Context, target: Target, options: BuildOptions) -> BuiltImage:
        raise Began


def test_a_registry_that_takes_nothing_says_so_before_the_first_step() -> None:
    engine, context = Preflighted(Beginning(), Refusing()), resolved(image()).context
    with pytest.raises(RegistryDenied, match="takes nothing"):
        engine.build(PLAN, context, TARGET, BuildOptions())
    with pytest.raises(Began):
        engine.build(PLAN, context, TARGET, BuildOptions(output="load"))
