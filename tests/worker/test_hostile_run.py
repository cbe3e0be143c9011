"""The attacker whose steps run in a build: what they can reach, read and leave behind, with a real engine."""

from __future__ import annotations

import json
import socket
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flyteidl2.imagebuilder import definition_pb2 as pb
from tests.conftest import Parts
from tests.engine import docker

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput
from flyte_build.registry.errors import (
    ArchiveError,
    BuildFailed,
    EngineMissing,
    FlyteBuildError,
    InvalidSpec,
    ServiceDenied,
)
from flyte_build.worker.access.policy import Limits, Policies, ProjectRule
from flyte_build.worker.access.values import Projects
from flyte_build.worker.builds.request import BuildOutcome, BuildRequest
from flyte_build.worker.drivers.service import ServiceBuilding
from flyte_build.worker.secrets.gather import MissingSecret
from flyte_build.worker.secrets.projects import ProjectSecrets

pytestmark = pytest.mark.real
CANARY = "canary-7f3a9c51e2"
# Says what a step can see and reach, as one line of JSON.
PROBE = """
import glob, json, os, socket, sys
def reach(host, port):
    try:
        socket.create_connection((host, int(port)), 2).close()
        return True
    except OSError:
        return False
gateway = [l.split()[2] for l in open("/proc/net/route") if l.split()[1] == "00000000"]
gateway = [socket.inet_ntoa(bytes.fromhex(g)[::-1]) for g in gateway]
status = dict(l.split(":\\t") for l in open("/proc/self/status").read().splitlines() if ":\\t" in l)
print("PROBE" + json.dumps({
    "registry": reach("127.0.0.1", sys.argv[1]) or any(reach(g, sys.argv[1]) for g in gateway),
    "host": reach("127.0.0.1", sys.argv[2]),
    "environment": sorted(os.environ),
    "secrets": sorted(glob.glob("/run/secrets/*")),
    "given": {f: open(f).read()[:400] for f in glob.glob("/run/flyte-build/*") if os.path.isfile(f)},
    "docker": [p for p in ("/var/run/docker.sock", "/run/docker.sock", "/root/.docker") if os.path.exists(p)],
    "admin": bool(int(status["CapEff"], 16) >> 21 & 1),
    "disks": [d for d in os.listdir("/dev") if d.startswith(("sd", "vd", "nvme"))],
    "poisoned": [m for m in (l.split()[1] for l in open("/proc/mounts")) if os.path.exists(m + "/poisoned")],
}))
"""
# A word for each of a step's mounts that outlives it, by its place; what the kernel makes anew for each step is none.
MOUNTS = "while read _ place _; do case $place in /|/dev*|/proc*|/sys*) ;; *) {} ;; esac; done < /proc/mounts; true {}"


@dataclass
class Log:
    """A sink that keeps everything as text."""

    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        self.lines.append(text)

    def step(self, event: BuildEvent) -> None:
        self.lines.append(event.title)
        if isinstance(event, StepOutput):
            self.lines.append(event.line)
        if isinstance(event, StepEnded):
            self.lines.append(event.error)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def probe(self) -> dict[str, Any]:
        (line,) = (line for line in self.lines if line.startswith("PROBE"))
        return dict(json.loads(line.removeprefix("PROBE")))


@dataclass(frozen=True)
class Shop:
    """A service's builder with rules: everybody pushes below a place of their own, on the tests' base."""

    building: ServiceBuilding
    base: str
    tmp: Path

    def build(
        self, project: str, *layers: pb.Layer, context: Path | None = None, base: str = "", target: str = "demo:1"
    ) -> tuple[Log, BuildOutcome | FlyteBuildError]:
        message = pb.ImageSpec(base_image=base or self.base, layers=layers)
        request = BuildRequest(
            spec=message.SerializeToString(),
            context=context,
            target=target,
            project=project,
            domain="development",
            force=True,
            guarded=self.building.policies is not None,
        )
        log = Log()
        try:
            return log, self.building(request, log, threading.Event())
        except FlyteBuildError as error:
            return log, error


@pytest.fixture
def shop(parts: Parts, fresh_name: str, tmp_path: Path) -> Shop:
    secrets = tmp_path / "secrets"
    for project in ("p", "q"):
        (secrets / project / "group").mkdir(parents=True)
        (secrets / project / "group" / "token").write_text(f"{CANARY}-{project}\n")
    home = parts.base.rpartition("/")[0]
    rule = ProjectRule(
        projects=Projects(name="*"),
        registries=(f"{parts.registry}/{fresh_name}/{{project}}",),
        bases=(home,),
        limits=Limits(context_bytes=100_000, build_seconds=120),
    )
    policies = Policies(registry=f"{parts.registry}/{fresh_name}", rules=(rule,), guarded=True)
    building = ServiceBuilding(
        registry=f"{parts.registry}/{fresh_name}", policies=policies, secrets=ProjectSecrets(root=secrets)
    )
    return Shop(building, parts.base, tmp_path)


def run(*commands: str, secret: str = "") -> pb.Layer:
    mounts = [{"group": "group", "key": secret, "env_var": "TOKEN"}] if secret else []
    return pb.Layer(commands=pb.Commands(cmd=commands, secret_mounts=mounts))


@pytest.fixture
def neighbour() -> Iterator[int]:
    """A server on the loopback of the machine that builds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_hostile_step_finds_nothing(
    shop: Shop, parts: Parts, neighbour: int, fresh_name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine x login y password {CANARY}-netrc\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}-cloud")
    poison = MOUNTS.format("touch $place/poisoned 2>/dev/null", fresh_name)
    sweep = MOUNTS.format("rm -f $place/poisoned", fresh_name)
    spy = f"python3 -c '{PROBE}' {parts.registry.rpartition(':')[2]} {neighbour} {fresh_name}"
    tell = f'echo "{fresh_name} seen: $TOKEN"; echo $TOKEN | base64; echo $TOKEN | fold -w 9'
    log, done = shop.build("p", run(tell, secret="token"), run(f"{poison}; {spy}"))
    assert isinstance(done, BuildOutcome), (done, log.text)
    assert CANARY not in log.text
    assert f"{fresh_name} seen: ***" in log.text
    assert log.probe["poisoned"], "a cache mount can be written, by its project"
    log, done = shop.build("q", run(tell, secret="token"), run(spy))
    swept = shop.build("p", run(sweep))[1]
    assert isinstance(swept, BuildOutcome), swept
    assert isinstance(done, BuildOutcome), (done, log.text)
    assert f"{fresh_name} seen: ***" in log.text, "what one project's secret gave is not another's cached step"
    probe = log.probe
    assert (probe["registry"], probe["host"]) == (False, False)
    assert (probe["secrets"], probe["docker"], probe["admin"], probe["disks"]) == ([], [], False, [])
    assert CANARY not in json.dumps(probe)
    assert not {"AWS_SECRET_ACCESS_KEY", "DOCKER_CONFIG", "DOCKER_HOST", "TOKEN"} & set(probe["environment"])
    assert probe["poisoned"] == [], "one project's cache mounts are no other's"
    _nowhere_in_the_registry(done.reference)


def _nowhere_in_the_registry(reference: str) -> None:
    """In no manifest or config; layers are looked through by the tests of secrets."""
    host, _, rest = reference.partition("/")
    name, _, digest = rest.partition("@")
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
    request = urllib.request.Request(f"http://{host}/v2/{name}/manifests/{digest}", headers={"accept": accept})
    with urllib.request.urlopen(request, timeout=20) as answer:
        manifest = answer.read()
    config = json.loads(manifest)["config"]["digest"]
    with urllib.request.urlopen(f"http://{host}/v2/{name}/blobs/{config}", timeout=20) as answer:
        assert CANARY.encode() not in manifest + answer.read()


def test_a_guarded_service_refuses_a_builder_whose_steps_are_in_its_machines_network(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))
    flags = ("--driver", "docker-container", "--driver-opt", "network=host")
    assert docker("buildx", "create", "--name", "open", *flags).returncode == 0
    building = replace(shop.building, builder="open")
    log, error = Shop(building, shop.base, tmp_path).build("p", run("touch /ran"))
    assert isinstance(error, EngineMissing), error
    assert "they reach every service on loopback" in error.sentence
    assert "touch" not in log.text, "no step began"


def test_a_step_that_fails_tells_no_secret_in_its_error(shop: Shop) -> None:
    log, error = shop.build("p", run('echo "password=$TOKEN" >&2; exit 3', secret="token"))
    assert isinstance(error, BuildFailed)
    told = "\n".join((error.sentence, error.step, error.hint, *error.log, log.text))
    assert CANARY not in told
    assert "password=***" in told
    assert error.__cause__ is None


def test_what_is_refused_before_anything_runs(shop: Shop, parts: Parts, fresh_name: str) -> None:
    """No engine is asked for any of these."""
    bomb = shop.tmp / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 3 << 30
        with Path("/dev/zero").open("rb") as zeros:
            archive.addfile(tarfile.TarInfo("small"))
            member.size = 300 << 20
            archive.addfile(member, zeros)
    large = shop.tmp / "large.tar.gz"
    large.write_bytes(bytes(100_001))
    climbing = shop.tmp / "climbing.tar.gz"
    with tarfile.open(climbing, "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../outside"))
    roomy = ServiceBuilding(registry=f"{parts.registry}/{fresh_name}")
    touch = run("touch /ran")
    refused: dict[str, tuple[Any, type[FlyteBuildError]]] = {
        "a secret that the project lacks": (shop.build("p", run("x", secret="other")), MissingSecret),
        "another project's secret": (shop.build("none", run("x", secret="token")), MissingSecret),
        "another project's place": (
            shop.build("p", touch, target=f"{parts.registry}/{fresh_name}/q/demo:1"),
            ServiceDenied,
        ),
        "a base on the loopback of the builder": (shop.build("p", touch, base="127.0.0.1:9/x/y:1"), ServiceDenied),
        "the cloud's metadata as a registry": (shop.build("p", touch, base="169.254.169.254/x/y:1"), ServiceDenied),
        "another project's image as a base": (
            shop.build("p", touch, base=f"{parts.registry}/{fresh_name}/q/demo:1"),
            ServiceDenied,
        ),
        "too large a context": (shop.build("p", touch, context=large), ServiceDenied),
        "a compressed bomb": (Shop(roomy, shop.base, shop.tmp).build("p", touch, context=bomb), ArchiveError),
        "a context that climbs": (shop.build("p", touch, context=climbing), ArchiveError),
        "a path out of the context": (
            shop.build("p", pb.Layer(copy_config=pb.CopyConfig(src="../../../etc/passwd", dst="/x"))),
            InvalidSpec,
        ),
        "a folder of the builder": (
            shop.build("p", pb.Layer(python_wheels=pb.PythonWheels(dir="/etc"))),
            InvalidSpec,
        ),
    }
    for what, ((log, error), kind) in refused.items():
        assert isinstance(error, kind), (what, error)
        assert not [line for line in log.lines if "touch" in line], what
        assert "\n" not in error.sentence or isinstance(error, InvalidSpec), what
    assert not list(shop.tmp.parent.glob("outside"))
