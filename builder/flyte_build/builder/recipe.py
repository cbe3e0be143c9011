"""The recipe: the version of the rules that turn a spec into a plan and a plan into an image.

Raise `RECIPE` with every change of what a plan or a Dockerfile contains; images built by an older recipe then
keep their names and new ones get their own. uv comes from its wheel for the *target* platform, on whatever
index the machine is configured for, and must have exactly these digests.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import InvalidInput

RECIPE = 1
# 1980-01-01, the first moment a zip (and so a wheel) can express; older stamps break tools inside images. Every
# timestamp in an image is this one (reproducible-builds.org, SOURCE_DATE_EPOCH), in seconds since 1970.
EPOCH = 315532800
UV_VERSION = "0.13.8"
POETRY_VERSION = "2.5.1"
PIXI_IMAGE = "ghcr.io/prefix-dev/pixi:0.72.2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A wheel by file name and sha256 (hex)."""

    filename: str
    sha256: str


_UV_WHEELS = {
    "linux/amd64": Wheel(
        filename=f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256="e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    ),
    "linux/arm64": Wheel(
        filename=f"uv-{UV_VERSION}-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        sha256="0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
}


def uv_wheel(platform: Platform) -> Wheel:
    """uv's wheel for a target platform; InvalidInput for a platform that the recipe has none for."""
    wheel = _UV_WHEELS.get(str(platform))
    if wheel is None:
        raise InvalidInput(
            f"images for {platform} cannot be built", hint=f"use one of: {', '.join(sorted(_UV_WHEELS))}"
        )
    return wheel
