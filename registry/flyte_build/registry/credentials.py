"""Where credentials come from, in the order in which they are asked."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flyte_build.registry.auth_files import look_up_auths
from flyte_build.registry.clouds.identity import CloudIdentity
from flyte_build.registry.containers_auth import ContainersAuth
from flyte_build.registry.docker_config import DockerConfig
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.identity import Chain, Credentials
from flyte_build.registry.names import Registry

_HOST = "FLYTE_BUILD_REGISTRY_HOST"
_USERNAME = "FLYTE_BUILD_REGISTRY_USERNAME"
_PASSWORD = "FLYTE_BUILD_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable


class EnvironmentCredentials:
    """`FLYTE_BUILD_REGISTRY_USERNAME` and `_PASSWORD`, for the one registry that `FLYTE_BUILD_REGISTRY_HOST` names.

    The host is required: without it the password would go to whichever registry asks, the base image's too.
    """

    name = "the environment (FLYTE_BUILD_REGISTRY_…)"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Raises InvalidInput when only some of the three variables are set."""
        values = {name: self._environ.get(name, "") for name in (_HOST, _USERNAME, _PASSWORD)}
        if not any(values.values()):
            return None
        if missing := [name for name, value in values.items() if not value]:
            raise InvalidInput(
                f"registry credentials in the environment are incomplete: {' and '.join(missing)} not set",
                hint=f"set {_HOST}, {_USERNAME} and {_PASSWORD} together, or none of them",
            )
        if Registry.parse(values[_HOST]) != registry:
            return None
        return Credentials(source=_USERNAME, username=values[_USERNAME], password=values[_PASSWORD])


class SecretCredentials:
    """The value of a registry secret: what `docker login` writes, which is also Kubernetes' `.dockerconfigjson`.

    Only its `auths` count: a secret that came from somewhere starts no helper here.
    """

    def __init__(self, value: bytes, secret: str) -> None:
        self._value = value
        self.name = f"the registry secret {secret!r}"

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Raises InvalidInput for a value that is no such document."""
        return look_up_auths(self._value, registry, self.name)


def default_credentials(environ: Mapping[str, str] = os.environ) -> Chain:
    """The environment, Docker's `config.json`, podman's `auth.json`, the cloud's own identity. Reads nothing yet."""
    return Chain(
        (EnvironmentCredentials(environ), DockerConfig(environ), ContainersAuth(environ), CloudIdentity(environ))
    )
