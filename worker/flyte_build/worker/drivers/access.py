"""A registry client for a spec: with the credentials of its registry secret before those of this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.credentials import SecretCredentials, default_credentials
from flyte_build.registry.identity import Chain, Place
from flyte_build.worker.drivers.retries import telling_client
from flyte_build.worker.secrets.gather import SecretSources

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient


def _nobody(sentence: str) -> None:
    """For when nobody looks."""


class Clients:
    """One client for each registry secret, made when it is first needed; its connections serve every image.

    Places that are `given` are asked before all others. `say` is told what is tried again.
    """

    def __init__(
        self, sources: SecretSources, given: tuple[Place, ...] = (), say: Callable[[str], None] = _nobody
    ) -> None:
        self._sources = sources
        self._say = say
        self._given = given
        self._made: dict[str | None, RegistryClient] = {}

    def of(self, spec: ImageSpec) -> RegistryClient:
        """The client of `spec`. Raises InvalidInput when nothing has the secret."""
        secret = spec.registry_secret
        if secret not in self._made:
            self._made[secret] = telling_client(self._say, self._credentials(secret))
        return self._made[secret]

    def _credentials(self, secret: str | None) -> Chain:
        machine = default_credentials()
        own = () if secret is None else (SecretCredentials(self._sources.value(secret), secret),)
        return Chain((*self._given, *own, *machine.places))
