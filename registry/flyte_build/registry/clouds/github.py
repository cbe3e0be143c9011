"""GHCR: the token of a GitHub workflow, or a personal access token (docs.github.com, "Working with the Container
registry")."""

from __future__ import annotations

from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry

_VARIABLES = ("GITHUB_TOKEN", "GH_TOKEN", "CR_PAT")


def credentials(registry: Registry, environ: dict[str, str]) -> Credentials | None:  # noqa: ARG001 - one for all
    """The first variable that is set. The user name is not looked at by GHCR, but must not be empty."""
    for name in _VARIABLES:
        if token := environ.get(name, "").strip():
            return Credentials(source=name, username=environ.get("GITHUB_ACTOR") or "flyte-build", password=token)
    return None
