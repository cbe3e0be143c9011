"""Bases by name: where names are configured, and what is said of one that is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import flyte
import pytest
from tests.builder.doubles import planned, write

from flyte_build.builder.sources import sdk
from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidSpec
from flyte_build.worker import settings
from flyte_build.worker.drivers.references import look_up

PYPROJECT = '[tool.flyte-build.images]\ngpu = "ghcr.io/acme/gpu:1"\n'
CONFIG = "image:\n  image_refs:\n    gpu: ghcr.io/acme/other:1\n    cpu: ghcr.io/acme/cpu:1\n"


def test_names_of_pyproject_go_before_those_of_flytes_config(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": PYPROJECT, "config.yaml": CONFIG})
    assert dict(settings.load(tmp_path, {}).images) == {"gpu": "ghcr.io/acme/gpu:1", "cpu": "ghcr.io/acme/cpu:1"}


def test_an_image_by_name_is_the_image_by_its_base(tmp_path: Path) -> None:
    by_name = look_up(ImageSpec(name="a", ref="gpu").with_apt("git"), (("gpu", "ghcr.io/acme/gpu:1"),))
    assert by_name == ImageSpec(name="a", base="ghcr.io/acme/gpu:1").with_apt("git")
    assert planned(by_name, tmp_path).tag


def test_the_sdks_image_by_name_is_built_when_it_has_layers() -> None:
    image = flyte.Image.from_ref_name("gpu").clone(name="mine", extendable=True).with_apt_packages("git")
    assert sdk.needs_build(image)
    spec = look_up(sdk.to_spec(image), (("gpu", "ghcr.io/acme/gpu:1"),))
    assert (spec.base, spec.ref) == ("ghcr.io/acme/gpu:1", None)


def test_the_sdks_own_answer_for_a_name_counts() -> None:
    image = flyte.Image.from_ref_name("gpu").clone(name="mine", extendable=True).with_apt_packages("git")
    assert sdk.to_spec(image.clone(base_image="r.test/found:1")).base == "r.test/found:1"


@pytest.mark.parametrize(("images", "there_is"), [((("cpu", "x"),), "there is cpu"), ((), "none is configured")])
def test_an_unknown_name_is_refused_with_the_known_ones_and_whatever_else_is_wrong(
    images: tuple[tuple[str, str], ...], there_is: str
) -> None:
    with pytest.raises(InvalidSpec) as caught:
        look_up(ImageSpec(name="a", ref="gpu", python="3").with_apt("GIT"), images)
    first, *others = (str(problem) for problem in caught.value.problems)
    assert first.startswith(f"ref: 'gpu' is the name of no image; {there_is}; write it under [tool.flyte-build.images]")
    assert [other.partition(":")[0] for other in others] == ["python", "layers[0].apt"]


def test_a_name_beside_a_base_is_refused(tmp_path: Path) -> None:
    spec = ImageSpec(name="a", ref="gpu", base="b:1")
    assert look_up(spec, (("gpu", "x"),)) == spec
    with pytest.raises(InvalidSpec, match="ref: 'gpu' was not looked up, and there is a base beside it"):
        planned(spec, tmp_path)
    with pytest.raises(InvalidSpec, match="ref: 'gpu' was not looked up; give exactly one"):
        planned(replace(spec, base=None), tmp_path)
