"""Finding the engine: is it there, is it new enough, what can it do.

Docker's own client is asked, because it alone knows contexts, plugins and builders; two questions at once, each a
process of under a tenth of a second.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flyte_build.registry.descriptors import Platform
from flyte_build.registry.errors import EngineAway, EngineMissing
from flyte_build.registry.redact import plain

# The first Buildx that prints `--progress=rawjson`.
MINIMUM_BUILDX = (0, 13)
_START = "start it (on Linux: systemctl start docker), or point DOCKER_HOST at one that runs"
_NO_PLUGIN = "install docker-buildx 0.13 or newer"
_PATIENCE = 60.0
# In what `buildx inspect` says of a builder's nodes: how its container was made, or how its BuildKit makes others.
_HOST_NETWORK = re.compile(
    r'^(?:Driver Options:.*\bnetwork="?host\b|BuildKit daemon flags:.*--oci-worker-net[= ]host\b)', re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """What was found. `command` starts every docker argv; `stores_images` is true with the containerd image store.

    `host_network`: steps are in the network of the machine that builds, as far as Buildx says so of the builder.
    """

    command: tuple[str, ...]
    server: str
    buildx: tuple[int, ...]
    driver: str
    stores_images: bool
    host_network: bool = False

    @property
    def annotates(self) -> bool:
        """Whether it can put annotations on what it pushes: Docker's classic store makes manifests without them."""
        return self.stores_images or self.driver != "docker"

    def require(self, platforms: tuple[Platform, ...]) -> None:
        """Raises EngineMissing when it cannot build `platforms` in one go."""
        if self.falls_short(cache=False, platforms=len(platforms)):
            raise EngineMissing(
                f"this Docker engine cannot build {' and '.join(map(str, platforms))} into one image",
                hint="turn on its containerd image store, or give --create-builder (a BuildKit in a container)",
            )

    def require_isolation(self) -> None:
        """Raises EngineMissing when a step would reach what listens on the loopback of the machine that builds."""
        if self.host_network:
            raise EngineMissing(
                "the steps of this builder are in its machine's network, where they reach every service on loopback",
                hint="make the builder without `network=host`, in a network of its own",
            )

    def falls_short(self, *, cache: bool, platforms: int) -> bool:
        """Whether it is Docker's classic image store, asked for a cache elsewhere or an image of several platforms."""
        return self.driver == "docker" and not self.stores_images and (cache or platforms > 1)


def find_engine(builder: str | None = None) -> DockerEngine:
    """The engine that Docker's own context, `DOCKER_HOST` and `builder` name.

    Raises EngineMissing with what to install or start.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise EngineMissing("there is no docker command", hint="install Docker with Buildx 0.13 or newer")
    with ThreadPoolExecutor(2) as asking:
        inspected = asking.submit(_ask, docker, "buildx", "inspect", *((builder,) if builder else ()))
        said = _ask(docker, "info", "--format", "{{json .}}")
        info = _info(said)
        # A BuildKit elsewhere needs no Docker engine beside the client, whose exit code may be 0 without one (26.1).
        if not info.get("ServerVersion") and not (builder and _driver(inspected.result(), builder) == "remote"):
            raise EngineAway(_with_reason("no Docker engine answers", said), hint=_START)
        buildx = _buildx(info)
        driver = _driver(inspected.result(), builder)
    return DockerEngine(
        command=(docker,),
        server=str(info.get("ServerVersion") or ""),
        buildx=buildx,
        driver=driver,
        stores_images=driver == "docker" and _has_snapshotter(info.get("DriverStatus")),
        host_network=bool(_HOST_NETWORK.search(inspected.result().out)),
    )


def engine_trouble(builder: str | None = None) -> str:
    """Why no build could begin now, in one sentence; empty when one could. A BuildKit in a container of Buildx's is
    started by the build itself."""
    try:
        engine = find_engine(builder)
    except EngineMissing as error:
        return error.sentence
    if engine.driver != "remote":
        return ""
    inspected = _ask(*engine.command, "buildx", "inspect", *((builder,) if builder else ()))
    if re.search(r"^Status:\s+running\b", inspected.out, re.MULTILINE):
        return ""
    said = re.search(r"^(?:Error|Endpoint):\s+(.+)$", inspected.out, re.MULTILINE)
    return f"the BuildKit of the builder {builder} does not answer{f': {plain(said[1])}' if said else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    fine: bool
    out: str
    last: str


def _ask(*argv: str) -> _Said:
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Said(fine=False, out="", last=f"`{' '.join(argv[1:3])}` gave no answer: {type(error).__name__}")
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return _Said(fine=done.returncode == 0, out=done.stdout, last=said[-1] if said else "")


def _info(said: _Said) -> dict[str, object]:
    """What the engine says of itself, and Docker's client of its own plugins."""
    try:
        found = json.loads(said.out)
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _buildx(info: dict[str, object]) -> tuple[int, ...]:
    client = info.get("ClientInfo")
    plugins = client.get("Plugins") if isinstance(client, dict) else None
    found = [one for one in plugins or () if isinstance(one, dict) and one.get("Name") == "buildx"]
    if not found:
        raise EngineMissing("docker has no buildx plugin", hint=_NO_PLUGIN)
    version = _version(str(found[0].get("Version", "")))
    if version < MINIMUM_BUILDX:
        raise EngineMissing(f"Docker Buildx {'.'.join(map(str, version))} is too old", hint="install 0.13 or newer")
    return version


def _has_snapshotter(status: object) -> bool:
    """Whether it is containerd's image store: `["driver-type", "io.containerd.snapshotter.v1"]` among its pairs."""
    return isinstance(status, list) and any("snapshotter" in str(pair) for pair in status)


def _driver(said: _Said, builder: str | None) -> str:
    """Of the first `Driver:` line; the builder's nodes come after it."""
    if not said.fine:
        what = f"there is no builder named {builder!r}" if builder else "docker's builder cannot be inspected"
        raise EngineMissing(_with_reason(what, said), hint="see `docker buildx ls`")
    match = re.search(r"^Driver:[ \t]*(\S*)", said.out, re.MULTILINE)
    return match[1] if match else ""


def _with_reason(what: str, said: _Said) -> str:
    return f"{what}: {plain(said.last).removeprefix('ERROR: ')}" if said.last else what


def _version(text: str) -> tuple[int, ...]:
    """`v0.13.1+ds1` -> (0, 13, 1)."""
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(part) for part in match.groups()) if match else (0,)
