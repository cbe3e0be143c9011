"""podman's, buildah's and skopeo's `auth.json` (containers-auth.json(5))."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from flyte_build.registry.auth_files import look_up, shown
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry


def auth_paths(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """`$REGISTRY_AUTH_FILE` alone, else the runtime directory's file and then the configuration directory's."""
    if named := environ.get("REGISTRY_AUTH_FILE"):
        return (Path(named),)
    home = Path(environ.get("HOME") or "~").expanduser()
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    config = environ.get("XDG_CONFIG_HOME") or str(home / ".config")
    return tuple(Path(root, "containers", "auth.json") for root in (runtime, config))


class ContainersAuth:
    """The first file that knows the registry."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    @property
    def name(self) -> str:
        """For people."""
        return f"podman's {' and '.join(shown(path, self._environ) for path in auth_paths(self._environ))}"

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Raises InvalidInput for a file or an entry that cannot be read, or a helper that fails."""
        found = (look_up(path, registry, self._environ) for path in auth_paths(self._environ))
        return next((one for one in found if one is not None), None)
