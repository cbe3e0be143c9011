"""Platforms fold to one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidName


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/ARM64", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_common_spellings_fold(written: str, meant: str) -> None:
    assert str(Platform.parse(written)) == meant


@pytest.mark.parametrize("written", ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/am d64", "linux//v7"])
def test_what_is_no_platform_is_refused(written: str) -> None:
    with pytest.raises(InvalidName, match="is not a platform"):
        Platform.parse(written)


@given(st.from_regex(r"(linux|windows)/(amd64|x86_64|arm|arm64|aarch64|s390x)(/(v?[1-9]))?", fullmatch=True))
def test_a_platform_is_the_inverse_of_its_text(written: str) -> None:
    platform = Platform.parse(written)
    assert Platform.parse(str(platform)) == platform
