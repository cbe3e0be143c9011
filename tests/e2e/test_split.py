"""The unmodified SDK against a service in parts: an endpoint over TLS that asks who one is, two workers, PostgreSQL,
RabbitMQ, and uploads in S3.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.rules import rules_of
from tests.worker import clouds
from tests.worker.deployment import Deployment, deployed
from tests.worker.services import postgres, rabbitmq
from tests.worker.test_sdk_login import certificate

from flyte_build.worker.access.tokens import new_token

pytestmark = pytest.mark.real

PROGRAM = """
import sys
import flyte
import flyte.remote

url, ca, token, base, name, what, command = sys.argv[1:]
image = flyte.Image.from_base(base).clone(name=name, extendable=True).with_commands([command])
env = flyte.TaskEnvironment(name=name, image=image)

@env.task
async def work(x: int) -> int:
    return 2 * x

if __name__ == "__main__":
    flyte.init(
        endpoint=url, ca_cert_file_path=ca, project="flytesnacks", domain="development", image_builder="remote",
        disable_keyring=True, auth_type="ExternalCommand", command=["cat", token],
    )
    if what == "deploy":
        flyte.deploy(env)
        task = flyte.remote.Task.get(name=f"{name}.work", auto_version="latest").fetch()
        print("IMAGE", task.pb2.spec.task_template.container.image)
    else:
        print("IMAGE", flyte.build(image).uri)
"""


@dataclass(frozen=True)
class Split:
    """The deployment, and how a user's program is run against it."""

    deployment: Deployment
    folder: Path
    base: str

    def start(self, name: str, what: str, command: str) -> subprocess.Popen[str]:
        """The SDK's own program, as a process."""
        url = self.deployment.url.replace("http://", "https://")
        ca, token = self.folder / "ca.crt", self.folder / "token"
        argv = [sys.executable, "program.py", url, str(ca), str(token), self.base, name, what, command]
        home = {"HOME": str(self.folder / "home"), "SSL_CERT_FILE": str(ca), "COLUMNS": "300", "PYTHONPATH": ""}
        return subprocess.Popen(
            argv, cwd=self.folder, env=os.environ | home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def said(self, name: str, what: str, command: str = "true") -> str:
        """All that it says."""
        return self.start(name, what, command).communicate(timeout=300)[0]

    def image(self, said: str) -> str:
        """The pinned reference that it got."""
        found = re.search(r"^IMAGE (\S+@sha256:[0-9a-f]{64})$", said, re.MULTILINE)
        assert found, said + self.deployment.said()
        return found[1]

    def built(self) -> int:
        """How many builds there were that built something."""
        ((count,),) = self.deployment.ask("SELECT count(*) FROM builds WHERE status = 'built'")
        return int(str(count))


@pytest.fixture
def split(tmp_path: Path, parts: Parts, fresh_name: str) -> Iterator[Split]:
    registry = f"{parts.registry}/{fresh_name}"
    token, digest = new_token()
    (tmp_path / "token").write_text(token)
    (tmp_path / "home").mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    rules = tmp_path / "access.toml"
    rules.write_text(rules_of(digest, registry, f"{parts.registry}/base"))
    chain, key = certificate(tmp_path)
    with ExitStack() as stack:
        s3 = stack.enter_context(clouds.s3(tmp_path / "s3"))
        servers = [make(tmp_path / make.__name__).start() for make in (postgres, rabbitmq)]
        for server in servers:
            stack.callback(server.stop)
        deployment = stack.enter_context(deployed(tmp_path / "d", registry, *servers))
        deployment.store = f"s3://bucket/uploads?endpoint={s3}&region=us-east-1"
        deployment.also = ("--access", str(rules))
        deployment.environment = {"AWS_ACCESS_KEY_ID": clouds.KEY_ID, "AWS_SECRET_ACCESS_KEY": clouds.SECRET}
        deployment.endpoint("--tls-cert", str(chain), "--tls-key", str(key))
        for _ in range(2):
            deployment.worker("--concurrency", "1")
        deployment.until(lambda: len(deployment.ask("SELECT * FROM workers")) == 2)
        yield Split(deployment, tmp_path, parts.base)


def test_an_sdk_builds_deploys_and_is_told_what_failed(split: Split, fresh_name: str) -> None:
    first = split.image(split.said("first", "build", f"echo {fresh_name} > /made"))
    assert first.startswith(f"{split.deployment.registry}/first@")
    assert run("crane", "digest", first).code == 0
    assert split.built() == 1
    assert split.image(split.said("first", "build", f"echo {fresh_name} > /made")) == first
    assert split.built() == 1, "what is there is answered without a build"
    deployed_one = split.image(split.said("deployed", "deploy", f"echo {fresh_name} > /deployed"))
    assert run("crane", "digest", deployed_one).code == 0
    assert list((split.folder / "s3").rglob("spec.pb")), "what was uploaded is in the store"
    failed = " ".join(split.said("failing", "build", f"echo no-such-weather {fresh_name}; exit 7").split())
    assert "ImageBuildError" in failed
    assert "exit code 7" in failed, "the user reads it in the own terminal"
    assert f"no-such-weather {fresh_name}" in failed
    secret = (split.folder / "token").read_text()
    assert secret not in failed + split.deployment.said()


def test_an_sdk_gets_its_image_though_the_worker_that_builds_it_is_killed(split: Split, fresh_name: str) -> None:
    deployment = split.deployment
    with split.start("killed", "build", f"sleep 8; echo {fresh_name} > /made") as program:
        deployment.until(lambda: "sleep 8" in str(deployment.ask("SELECT entries FROM build_log")))
        ((owner,),) = deployment.ask("SELECT owner FROM builds WHERE state = 'running'")
        (victim,) = [one for one in deployment.processes if f"-{one.pid}-" in str(owner)]
        victim.kill()
        said = program.communicate(timeout=300)[0]
    assert run("crane", "digest", split.image(said)).code == 0
    ((attempts, other),) = deployment.ask("SELECT attempts, owner FROM builds")
    assert attempts == 2
    assert other != owner
