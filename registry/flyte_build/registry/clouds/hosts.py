"""Which cloud a registry belongs to, from its host name alone. Nothing of a cloud's is imported to find out."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import Protocol

from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import DOCKER_HUB, Registry

ECR_HOST = re.compile(
    r"(?P<account>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
)
ECR_PUBLIC = frozenset({"public.ecr.aws", "ecr-public.aws.com"})
_GOOGLE = re.compile(r"(?:[a-z0-9-]+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev|docker\.pkg\.dev")
_AZURE = re.compile(r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)")


class Provider(Protocol):
    """One cloud's way to say who we are there."""

    def __call__(self, registry: Registry, environ: dict[str, str]) -> Credentials | None:
        """None when this machine has no identity there; InvalidInput when it has a broken one."""
        ...


@dataclass(frozen=True, slots=True)
class Cloud:
    """`name` for people; `module` is imported when a registry of this cloud wants to know who we are."""

    name: str
    module: str

    def provider(self) -> Provider:
        """The module's `credentials`."""
        module = importlib.import_module(f"flyte_build.registry.clouds.{self.module}")
        provider: Provider = module.credentials
        return provider


def cloud_of(registry: Registry) -> Cloud | None:
    """None for a registry of nobody we know."""
    host = registry.host
    if ECR_HOST.fullmatch(host) or host in ECR_PUBLIC:
        return Cloud("AWS", "aws")
    if _GOOGLE.fullmatch(host):
        return Cloud("Google", "google")
    if _AZURE.fullmatch(host):
        return Cloud("Azure", "azure")
    if host == "ghcr.io":
        return Cloud("GitHub", "github")
    return Cloud("Docker Hub", "hub") if host == DOCKER_HUB else None
