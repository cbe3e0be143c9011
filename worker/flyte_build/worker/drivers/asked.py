"""Bases are asked for, and what was answered is noted: the same request can then be answered without a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_build.builder.recipe import RECIPE
from flyte_build.worker.builds.images import Resolved

if TYPE_CHECKING:
    from flyte_build.builder.resolve import BaseResolver, FoundBase
    from flyte_build.registry.descriptors import Platform
    from flyte_build.registry.names import ImageName


class Asked:
    """A `BaseResolver` around another one."""

    def __init__(self, bases: BaseResolver) -> None:
        self._bases = bases
        self._digests: dict[str, str] = {}

    def resolve(self, name: ImageName, platforms: tuple[Platform, ...]) -> FoundBase:
        """As the other one."""
        found = self._bases.resolve(name, platforms)
        self._digests[str(name)] = str(found.reference.digest)
        return found

    def resolved(self) -> str:
        """What was asked for, as a row of a build keeps it."""
        return Resolved(recipe=RECIPE, digests=tuple(sorted(self._digests.items()))).encode()
