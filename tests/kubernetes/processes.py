"""The manifests' own command lines and variables as processes of this machine.

Only places differ: folders are a test's own, ports are free ones, what is in Secrets and settings is said by the test.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from tests.kubernetes.rendered import Container, containers, data_of, environment, words
from tests.worker.services import free_port

TOKEN = "only-a-test"
_KNOWN = hashlib.sha256(TOKEN.encode()).hexdigest()
RULES = f'[[token]]\nname = "t"\nsha256 = "{_KNOWN}"\nprojects = ["research"]\n'
PROGRAM = (sys.executable, "-c", "from flyte_build.worker.cli.main import main; main()")
_PORTS = {"endpoint": "8090", "worker": "9090"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an overlay runs here: `folder` stands for a pod's; an operator sets `variables` and adds `rules`.

    `addresses` says where a Service of the cluster is here.
    """

    name: str
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    rules: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)

    def container(self, name: str) -> Container:
        return next(one for one in containers(self.name) if one.spec["name"] == name)

    def here(self, text: str) -> str:
        for pod, ours in (
            ("unix:///run/flyte-build", f"unix://{self.folder}"),
            ("/var/lib/flyte-build", f"{self.folder}/var"),
            ("/etc/flyte-build", f"{self.folder}/etc"),
            ("0.0.0.0", "127.0.0.1"),
            *self.addresses.items(),
        ):
            text = text.replace(pod, ours)
        return text

    def environment(self, container: Container) -> dict[str, str]:
        given = {key: self.here(value) for key, value in environment(self.name, container).items()}
        given |= {"FLYTE_BUILD_DATABASE": f"sqlite:///{self.folder / 'database'}", "FLYTE_BUILD_BROKER": ""}
        given["FLYTE_BUILD_REGISTRY"] = "127.0.0.1:1/x"
        if "://" in given["FLYTE_BUILD_STORE"]:
            given["FLYTE_BUILD_STORE"] = f"{self.folder}/var/store"
        given |= {"HOME": str(self.folder), **self.variables}
        # The endpoint's image has no docker.
        return given | ({"PATH": str(self.folder)} if container.spec["name"] == "endpoint" else {})

    def prepare(self) -> None:
        if self.name != "trial":
            rules = data_of(self.name, "ConfigMap", "flyte-build-access")["access.toml"]
            file = self.folder / "etc" / "access" / "access.toml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{rules}\n{self.rules}", encoding="utf-8")


@contextmanager
def running(place: Place, container: Container) -> Iterator[int]:
    """The container's process, until the block ends; its port."""
    port, own = free_port(), _PORTS[container.spec["name"]]
    place.prepare()
    arguments = [place.here(word).replace(f"port={own}", f"port={port}") for word in words(place.name, container)[1:]]
    log = place.folder / f"{container.spec['name']}.log"
    with log.open("w") as said:
        variables = os.environ | place.environment(container)
        process = subprocess.Popen([*PROGRAM, *arguments], env=variables, stdout=said, stderr=said, cwd=place.folder)
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        assert process.wait(60) in (0, 130), log.read_text()


def _listens(port: int) -> bool:
    try:
        return asked(port, "/healthz", host="")[0] == 200
    except OSError:
        return False


def asked(port: int, path: str, token: str = "", host: str = "10.1.2.3:8090") -> tuple[int, str]:
    """Status and body; by default as the kubelet asks, by the pod's address, which is no name of the service."""
    headers = {"host": host} if host else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
