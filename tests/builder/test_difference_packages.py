"""What another lock changes of what is installed."""

from __future__ import annotations

import pytest

from flyte_build.builder.difference_packages import package_changes
from flyte_build.builder.installed import Installed, Package
from flyte_build.registry.descriptors import Platform

VENV, BASE = "/opt/venv", "/usr"


def image(*packages: str, place: str = VENV, platform: str = "linux/amd64") -> Installed:
    """Packages as `name version`."""
    made = [text.split() for text in packages]
    known = tuple(Package(kind="pypi", name=name, version=version, purl="", place=place) for name, version in made)
    return Installed(platform=Platform.parse(platform), packages=known)


@pytest.mark.parametrize(
    ("before", "pins", "said"),
    [
        pytest.param(["a 1"], ["a==1 --hash=sha256:00"], [], id="nothing"),
        pytest.param(["a 1"], ["a==2 --hash=sha256:00 --hash=sha256:11"], ["a 1 is 2 now"], id="a version"),
        pytest.param(["a 1"], ["a==1", "b==3"], ["b 3 is new"], id="one more"),
        pytest.param(["a 1", "b 3"], ["a==1"], ["b 3 is gone"], id="one less"),
        pytest.param(["A_b.c 1"], ["a-b-c==1"], [], id="other spellings of a name"),
        pytest.param(["a 1"], ["a[x]==1", "b==1 ; python_version < '3.12'"], [], id="what is for another Python"),
        pytest.param(
            ["a 1"], ["a==1", "b==2 ; platform_machine == 'x86_64'"], ["b 2 is new"], id="what is for this machine"
        ),
        pytest.param(
            ["a 1"],
            ["a==1 ; python_full_version < '3.12'", "a==2 ; python_full_version >= '3.12'"],
            ["a 1 is 2 now"],
            id="one of two",
        ),
        pytest.param(["a 1"], ["a==1", "# no pin", "-r more.txt"], [], id="lines that are none"),
    ],
)
def test_of_packages_is_said(before: list[str], pins: list[str], said: list[str]) -> None:
    assert package_changes([image(*before)], pins, python="3.13", everything=True) == tuple(said)


def test_what_else_is_installed_is_gone_only_if_pins_are_all() -> None:
    before = [image("a 1", "own 0.1"), image("pip 23", place=BASE)]
    assert package_changes(before, ["a==1"], python="3.13", everything=False) == ()
    assert package_changes(before, ["a==1"], python="3.13", everything=True) == ("own 0.1 is gone",)


def test_each_platform_may_have_its_own() -> None:
    before = [image("a 1"), image("a 1", platform="linux/arm64")]
    pins = ["a==1 ; platform_machine == 'x86_64'", "a==2 ; platform_machine == 'aarch64'"]
    assert package_changes(before, pins, python="3.13", everything=True) == ("a 1 is 1 or 2 now",)


def test_many_are_counted_and_without_a_known_python_what_is_for_some_is_passed_over() -> None:
    pins = [f"p{number:03}==2" for number in range(200)]
    before = [image(*(f"p{number:03} 1" for number in range(200)))]
    said = package_changes(before, pins, python="3.13", everything=True)
    assert len(said) == 12
    assert (said[0], said[-1]) == ("p000 1 is 2 now", "and 189 more packages")
    assert package_changes([image("a 1")], ["a==1", "b==1 ; python_version > '3'"], python=None, everything=False) == ()
