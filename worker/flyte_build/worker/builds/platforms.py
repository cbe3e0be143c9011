"""Which platforms a build is for, and what to say of those that no worker builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.builder import recipe
from flyte_build.builder.sources import wire
from flyte_build.worker.builds.order import covers
from flyte_build.worker.builds.parts import splittable

if TYPE_CHECKING:
    from collections.abc import Sequence


def platforms_of(spec: bytes, default: str) -> str:
    """The platforms that a client's spec names, joined by commas; the service's `default` where it names none.

    Raises InvalidInput for bytes that are no spec, or that name what is no platform or none of the recipe's: a client
    wrote them, and a build that no worker can ever take would wait for one.
    """
    named = wire.platforms(spec)
    for platform in named:
        recipe.uv_wheel(platform)
    return ",".join(map(str, named)) or default


def nobody(platforms: str, workers: Sequence[str]) -> str:
    """Why no living worker takes a build for these platforms, in one sentence; empty when one does, or several will."""
    if any(covers(worker, platforms) for worker in workers) or splittable(platforms, workers):
        return ""
    if not workers:
        return "no worker takes builds: they wait until one is started, or has its engine again (its log says why)"
    alone = [one for one in platforms.split(",") if not any(covers(worker, one) for worker in workers)]
    flags = " ".join(f"--platform {one}" for one in alone)
    named = " and ".join(alone)
    return f"no worker builds {named}: the build waits until somebody starts `flyte-build worker {flags}`"
