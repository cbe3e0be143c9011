"""Signing and verifying by the `cosign` program: a tool that others keep, and that others verify with.

It runs with an environment of its own: the credentials of one registry in a private Docker configuration, and the
password of the key. What it says of failures is told in one sentence, without URLs' values.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flyte_build.builder.buildx.docker_config import private_config
from flyte_build.registry.errors import SigningError, SigningMissing
from flyte_build.registry.redact import plain
from flyte_build.worker.signing import argv

if TYPE_CHECKING:
    from flyte_build.registry.client import RegistryClient
    from flyte_build.registry.names import ImageReference

_INSTALL = "https://docs.sigstore.dev/cosign/system_config/installation"
_PATIENCE = 300.0
_PASSWORD = "COSIGN_PASSWORD"  # noqa: S105 - a variable's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a call ended. `said` is the sentence of a failure, fit to be shown."""

    code: int
    out: bytes
    said: str = ""


class Cosign:
    """The program on PATH, as it is found when it is first needed. `password` is the key's, None for what the
    environment says; `knows_password`: either said one, which may be empty.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, password: str | None = None) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        if password is not None:
            self._environment[_PASSWORD] = password
        self.knows_password = _PASSWORD in self._environment
        # Else it would ask for one, of whoever is at the terminal.
        self._environment.setdefault(_PASSWORD, "")

    def require(self) -> None:
        """SigningMissing when there is none."""
        if shutil.which("cosign", path=self._environment.get("PATH")) is None:
            raise SigningMissing(
                "signatures need the program cosign, and there is none on PATH",
                hint=f"install it (Debian 13: apt install cosign; else see {_INSTALL})",
            )

    @cached_property
    def configures(self) -> bool:
        """Whether it knows signing configs, which change what it does by itself."""
        return b"--use-signing-config" in self.run(("cosign", "sign", "--help"), self._environment).out

    def place(self, registry: RegistryClient, image: ImageReference) -> argv.Place:
        """How the image is reached, as our own client reaches it."""
        options = registry.api.options
        host = image.repository.registry
        return argv.Place(
            plain=options.allows_plain(host),
            ca=str(options.ca_bundle) if options.ca_bundle else "",
            configures=self.configures,
        )

    @contextmanager
    def known_to(self, registry: RegistryClient, image: ImageReference) -> Iterator[Mapping[str, str]]:
        """An environment in which it is who we are to the image's registry."""
        host = image.repository.registry
        found = registry.credentials.for_registry(host)
        with private_config({} if found is None else {host: found}, registry.credentials) as environment:
            docker = {name: environment[name] for name in ("DOCKER_CONFIG", "PATH") if name in environment}
            yield self._environment | docker

    def run(self, command: tuple[str, ...], environment: Mapping[str, str] | None = None) -> Ran:
        """Runs it to its end; SigningError when it does not end."""
        self.require()
        try:
            done = subprocess.run(
                command,
                env=dict(self._environment if environment is None else environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SigningError(f"cosign {command[1]} did not end within {_PATIENCE:g} seconds") from error
        return Ran(code=done.returncode, out=done.stdout, said=_sentence(done.stderr))


def _sentence(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.startswith("Error: ")]
    return plain(lines[-1].removeprefix("Error: ") if lines else stderr.decode(errors="replace")[-300:], 300)
