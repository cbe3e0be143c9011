"""Docker Hub: a user name and an access token in the variables that Docker's own CI examples use."""

from __future__ import annotations

from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry

_PAIRS = (("DOCKERHUB_USERNAME", "DOCKERHUB_TOKEN"), ("DOCKER_USERNAME", "DOCKER_PASSWORD"))


def credentials(registry: Registry, environ: dict[str, str]) -> Credentials | None:  # noqa: ARG001 - one for all
    """The first pair of which both are set."""
    for name, secret in _PAIRS:
        username, password = environ.get(name, "").strip(), environ.get(secret, "").strip()
        if username and password:
            return Credentials(source=secret, username=username, password=password)
    return None
