"""Which builder builds an image. Imported only where something is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.builder.buildx.builders import container_builder
from flyte_build.builder.buildx.docker import find_engine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flyte_build.registry.descriptors import Platform
    from flyte_build.worker.cli.asked import Asked


def chosen_builder(asked: Asked, platforms: Sequence[Platform]) -> str | None:
    """The builder that was named, or one that is made because the engine falls short; None for the engine itself.

    Raises EngineMissing.
    """
    if asked.builder or not asked.is_set("create_builder"):
        return asked.builder
    caches = bool(asked.texts("cache_from") or asked.texts("cache_to"))
    return container_builder() if find_engine().falls_short(cache=caches, platforms=len(platforms)) else None
