"""Several images in one call: one that is wrong does not hide the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flyte_build.builder.reading import NoBases
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import FlyteBuildError, InvalidInput, InvalidSpec, Problem, RegistryUnavailable
from flyte_build.worker.drivers import image as driver
from flyte_build.worker.drivers.several import all_of


def gives(value: object) -> Callable[[], object]:
    def prepare() -> object:
        if isinstance(value, Exception):
            raise value
        return value

    return prepare


SPEC = InvalidSpec("image 'a'", (Problem("layers[0].pip", "is odd"), Problem("python", "is old")))
NOWHERE = InvalidInput("the image 'b' has no registry", hint="give one")
AWAY = RegistryUnavailable("nobody answers", hint="try later")


def test_what_is_well_is_given_in_order() -> None:
    assert all_of(map(gives, (1, 2, 3))) == [1, 2, 3]


def test_the_error_of_one_is_its_own() -> None:
    with pytest.raises(InvalidSpec) as caught:
        all_of(map(gives, (1, SPEC, 2)))
    assert caught.value is SPEC


def test_the_problems_of_several_are_said_at_once_with_what_to_change() -> None:
    with pytest.raises(InvalidSpec) as caught:
        all_of(map(gives, (SPEC, 1, NOWHERE)))
    assert [str(problem) for problem in caught.value.problems] == [
        "image 'a': layers[0].pip: is odd",
        "image 'a': python: is old",
        "the image 'b' has no registry (give one)",
    ]
    assert caught.value.sentence.startswith("what is asked for 2 images has 3 problems:\n  - image 'a': layers[0]")


def test_a_registry_that_is_away_is_asked_once() -> None:
    with pytest.raises(FlyteBuildError, match=r"layers\[0\].pip: is odd(.|\n)*nobody answers \(try later\)"):
        all_of(map(gives, (SPEC, AWAY, AssertionError("asked again"))))


def test_a_name_that_no_registry_takes_is_a_problem_of_the_spec_like_any_other(tmp_path: Path) -> None:
    spec = ImageSpec(name="Train", registry="ghcr.io/acme", base="b").with_copy("gone")
    with pytest.raises(InvalidSpec) as caught:
        driver.prepare(spec, tmp_path, NoBases())
    assert [problem.path for problem in caught.value.problems] == ["name", "layers[0].copy"]


def test_an_image_without_a_registry_is_said_before_any_base_is_looked_up(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no registry to go to"):
        driver.prepare(ImageSpec(name="train", base="b"), tmp_path, NoBases())
