"""Docker's `config.json`: what `docker login` left behind (docs.docker.com, "docker login", "Credential stores")."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flyte_build.registry.auth_files import HUB_KEY, config_key, look_up, shown
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry

__all__ = ["HUB_KEY", "DockerConfig", "config_key", "config_path"]


def config_path(environ: Mapping[str, str]) -> Path:
    """`$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`."""
    directory = environ.get("DOCKER_CONFIG")
    home = Path(environ.get("HOME") or "~").expanduser()
    return (Path(directory) if directory else home / ".docker") / "config.json"


class DockerConfig:
    """`credHelpers` for the registry, else `credsStore`; what they do not know is looked up in `auths`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    @property
    def name(self) -> str:
        """For people."""
        return f"Docker's configuration {shown(config_path(self._environ), self._environ)}"

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Raises InvalidInput for a file or an entry that cannot be read, or a helper that fails."""
        return look_up(config_path(self._environ), registry, self._environ)
