"""Finding the engine: is it there, is it new enough, what can it do. The one importer of python-on-whales."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import EngineMissing
from flyte_build.registry.redact import plain

# The first Buildx that prints `--progress=rawjson`.
MINIMUM_BUILDX = (0, 13)
_START = "start it (on Linux: systemctl start docker), or point DOCKER_HOST at one that runs"


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """What was found. `command` starts every docker argv; `stores_images` is true with the containerd image store."""

    command: tuple[str, ...]
    server: str
    buildx: tuple[int, ...]
    driver: str
    stores_images: bool

    @property
    def annotates(self) -> bool:
        """Whether it can put annotations on what it pushes: Docker's classic store makes manifests without them."""
        return self.stores_images or self.driver != "docker"

    def require(self, platforms: tuple[Platform, ...]) -> None:
        """Raises EngineMissing when it cannot build `platforms` in one go."""
        if len(platforms) > 1 and self.driver == "docker" and not self.stores_images:
            raise EngineMissing(
                f"this Docker engine cannot build {' and '.join(map(str, platforms))} into one image",
                hint="turn on its containerd image store, or name a builder that can:"
                " `docker buildx create --name multi --driver docker-container`, then --builder multi",
            )


def find_engine(builder: str | None = None) -> DockerEngine:
    """The engine that Docker's own context, `DOCKER_HOST` and `builder` name.

    Raises EngineMissing with what to install or start.
    """
    if shutil.which("docker") is None:
        raise EngineMissing("there is no docker command", hint="install Docker with Buildx 0.13 or newer")
    from python_on_whales import DockerClient

    client = DockerClient()
    # Three programs that wait for the engine, and each is waited for only where its answer is needed.
    with ThreadPoolExecutor(3) as asking:
        info_asked = asking.submit(client.info)
        version_asked = asking.submit(client.buildx.version)
        inspected = asking.submit(client.buildx.inspect, *((builder,) if builder else ()))
    with _translated("no Docker engine answers", _START):
        info = info_asked.result()
    if not info.server_version:
        raise EngineMissing("no Docker engine answers", hint=_START)
    with _translated("docker has no buildx plugin", "install docker-buildx 0.13 or newer"):
        buildx = _version(version_asked.result())
    if buildx < MINIMUM_BUILDX:
        raise EngineMissing(f"Docker Buildx {'.'.join(map(str, buildx))} is too old", hint="install 0.13 or newer")
    what = f"there is no builder named {builder!r}" if builder else "docker's builder cannot be inspected"
    with _translated(what, "see `docker buildx ls`"):
        found = inspected.result()
    status = dict(pair for pair in info.driver_status or () if len(pair) == 2)
    return DockerEngine(
        command=tuple(str(part) for part in client.client_config.docker_cmd),
        server=info.server_version,
        buildx=buildx,
        driver=found.driver or "",
        stores_images=found.driver == "docker" and "snapshotter" in status.get("driver-type", ""),
    )


@contextmanager
def _translated(what: str, hint: str) -> Iterator[None]:
    """What Docker's client refuses is EngineMissing, with the client's own last words."""
    from python_on_whales.exceptions import DockerException

    try:
        yield
    except DockerException as error:
        said = [line for line in (error.stderr or "").splitlines() if line.strip()]
        reason = f": {plain(said[-1]).removeprefix('ERROR: ')}" if said else ""
        raise EngineMissing(f"{what}{reason}", hint=hint) from error


def _version(text: str) -> tuple[int, ...]:
    """`github.com/docker/buildx v0.13.1 788433953af…` -> (0, 13, 1)."""
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else (0,)
