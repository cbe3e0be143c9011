"""Builders of Buildx, made with consent and kept. The one importer of python-on-whales: no build waits for it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping

from flyte_build.registry.errors import EngineMissing
from flyte_build.registry.redact import plain

# What `--create-builder` makes, and uses again.
OWN_BUILDER = "flyte-build"
_PLUGIN = "install docker-buildx 0.13 or newer"


def container_builder(name: str = OWN_BUILDER) -> str:
    """The name of a builder in a container (BuildKit's image is pulled when it is first used), made if not there.

    It makes images of several platforms and keeps caches in registries with any Docker engine. Raises EngineMissing.
    """
    return ensure_builder(name, "docker-container")


def ensure_builder(name: str, driver: str, address: str | None = None, options: Mapping[str, str] | None = None) -> str:
    """The name of a builder, made with `driver`, its options and the address of its node unless there is one so named.

    Raises EngineMissing, with Buildx' own last words, when there is no Buildx or it refuses.
    """
    if shutil.which("docker") is None:
        raise EngineMissing("there is no docker command", hint=_PLUGIN)
    from python_on_whales import DockerClient, DockerException

    buildx = DockerClient().buildx
    with contextlib.suppress(DockerException):
        buildx.inspect(name)
        return name
    try:
        buildx.create(address, name=name, driver=driver, driver_options=dict(options or {}))
    except DockerException as error:
        said = [line for line in (error.stderr or "").splitlines() if line.strip()]
        # Another process was quicker with the same name, which stands for the same builder.
        if not said or "existing instance" not in said[-1]:
            reason = plain(said[-1], 300).removeprefix("ERROR: ") if said else "it gave no reason"
            raise EngineMissing(f"Docker Buildx made no builder {name!r}: {reason}", hint=_PLUGIN) from error
    return name
