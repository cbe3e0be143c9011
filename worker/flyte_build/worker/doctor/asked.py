"""The build service that `doctor` is asked about."""

from __future__ import annotations

from dataclasses import dataclass

from flyte_build.registry.descriptors import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedService:
    """`endpoint` is empty where none is asked about; one that only settings name may be a Flyte without builds.

    `said`: the command line names it. `scope` is a project and a domain.
    """

    endpoint: str
    scope: tuple[str, str]
    platforms: tuple[Platform, ...]
    insecure: bool = False
    said: bool = False
