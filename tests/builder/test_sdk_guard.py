"""A newer SDK may mean more than we know: what is not understood is refused, not passed over."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import flyte
import pytest
from flyte._image import AptPackages as RealAptPackages
from flyte._image import _DockerLines
from tests.builder.doubles import image as ours

from flyte_build.builder import check
from flyte_build.builder.sources import sdk
from flyte_build.builder.sources.sdk_guard import OPTIONS, require_version
from flyte_build.registry.errors import InvalidInput, InvalidSpec


def clean() -> flyte.Image:
    return flyte.Image.from_base("b").clone(name="a", extendable=True, python_version=(3, 12))


@dataclass(frozen=True, repr=True)
class AptPackages(RealAptPackages):
    """What an SDK to come may call by the same name."""

    suite: str = "stable"


@pytest.mark.parametrize("version", ["2.12.0", "2.12.1", "2.13.0b2", "2.99"])
def test_this_version_is_understood(version: str) -> None:
    require_version(version)


@pytest.mark.parametrize("version", ["2.11.9", "1.16.0", "3.0.0", "", "dev"])
def test_this_version_is_refused(version: str) -> None:
    with pytest.raises(InvalidInput, match="are not understood") as caught:
        require_version(version)
    assert caught.value.hint == "install flyte>=2.12,<3, or another flyte-build"


def test_the_version_is_looked_at_before_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flyte, "__version__", "3.1.0")
    with pytest.raises(InvalidInput, match=r"images of flyte 3\.1\.0 are not understood"):
        sdk.to_spec(clean())


def test_an_option_to_come_is_refused_where_it_is_used_and_only_there() -> None:
    usual = clean().clone(addl_layer=AptPackages(packages=("git",)))
    assert sdk.to_spec(usual).layers
    used = usual.clone(addl_layer=AptPackages(packages=("git",), suite="sid"))
    with pytest.raises(InvalidSpec) as caught:
        sdk.to_spec(used)
    assert [str(problem) for problem in caught.value.problems] == [
        "layers[1].suite: is an option of AptPackages that this flyte-build does not know; upgrade it"
    ]


def test_a_dockerfiles_line_that_is_no_label_is_refused() -> None:
    assert sdk.to_spec(clean().clone(addl_layer=_DockerLines(lines=("LABEL a=b", "")))).layers == ()
    with pytest.raises(InvalidSpec, match=r"layers\[0\]: is a Dockerfile's line that is not supported: 'RUN evil'"):
        sdk.to_spec(clean().clone(addl_layer=_DockerLines(lines=("LABEL a=b", "RUN evil"))))


def test_every_option_of_the_released_sdk_is_known() -> None:
    import flyte._image as released

    for name, known in OPTIONS.items():
        kind: Any = getattr(released, name)
        assert {field.name for field in fields(kind)} == known, name
    kinds = {kind.__name__ for kind in _below(released.Layer)} - {"PipOption", "AptPackages", "_Unheard"}
    assert kinds <= set(OPTIONS)


def _below(kind: type) -> set[type]:
    found: set[type] = set(kind.__subclasses__())
    return found.union(*map(_below, found))


def test_a_registry_secret_is_kept_by_name_and_is_no_part_of_the_identity() -> None:
    image = clean().clone(registry_secret=flyte.Secret(key="pull", group="team")).with_apt_packages("git")
    assert sdk.to_spec(image).registry_secret == "team.pull"
    assert sdk.to_spec(clean().clone(registry_secret="pull")).registry_secret == "pull"
    (problem,) = check.head(ours(registry_secret="a b"))
    assert str(problem).startswith("registry_secret: 'a b' is not a secret's name")
