"""Whose platforms a build has, and the sentence for when no worker builds for them."""

from __future__ import annotations

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec
from tests.worker.conftest import Building, Served
from tests.worker.sdk import ask_for_build, wait_for_end

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.platforms import nobody, platforms_of

AMD, ARM = "linux/amd64", "linux/arm64"
BOTH = f"{AMD},{ARM}"


def spec(*platforms: str) -> bytes:
    return bytes(ImageSpec(base_image="registry.test/base:1", platform=platforms).SerializeToString())


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((), AMD),
        ((ARM,), ARM),
        (("linux/arm64/v8", AMD, ARM, "linux/x86_64"), BOTH),
    ],
    ids=["the service's, where it names none", "its own", "as its plan has them"],
)
def test_a_spec_is_for(named: tuple[str, ...], expected: str) -> None:
    assert platforms_of(spec(*named), AMD) == expected


HOSTILE = {
    "no message": b"\xff" * 10,
    "no platform": spec("x"),
    "another line": spec(f"{AMD}\n{ARM}"),
    "two in one": spec(BOTH),
    "a path": spec("../x"),
    "nobody builds that": spec("linux/riscv64"),
    "a very long one": spec("linux/" + "a" * 100_000),
    "very many": spec(*[f"linux/a{number}" for number in range(10_000)]),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_spec_is_refused_in_one_short_sentence(data: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        platforms_of(data, AMD)
    assert len(caught.value.sentence) < 200


def test_who_asks_is_told_at_once(served: Served, building: Building) -> None:
    with pytest.raises(ConnectError, match="images for linux/riscv64 cannot be built") as caught:
        ask_for_build(served.url, spec("linux/riscv64"))
    assert caught.value.code is Code.INVALID_ARGUMENT
    assert wait_for_end(served.url, ask_for_build(served.url, spec(ARM))).status.phase == 5
    assert [request.platforms for request in building.requests] == [("linux/arm64",)]


@pytest.mark.parametrize(
    ("platforms", "workers", "expected"),
    [
        (ARM, (), "no worker takes builds: they wait until one is started, or has its engine again (its log says why)"),
        (ARM, (AMD,), "no worker builds linux/arm64: the build waits until somebody starts `flyte-build worker"),
        (BOTH, (AMD,), "no worker builds linux/arm64: "),
        (BOTH, ("linux/arm/v7",), "no worker builds linux/amd64 and linux/arm64: "),
        (BOTH, (AMD, ARM), ""),
        (BOTH, (BOTH,), ""),
        (ARM, ("",), ""),
    ],
)
def test_nobody_builds_it_because(platforms: str, workers: tuple[str, ...], expected: str) -> None:
    said = nobody(platforms, workers)
    assert said.startswith(expected)
    assert bool(said) == bool(expected)
