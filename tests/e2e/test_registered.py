"""A split set-up: one endpoint as a Flyte that knows nothing of images, where `flyte-build register` put the task, and
a build service elsewhere, with rules of who may. The unmodified SDK asks the first; a real container asks the second.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, Service, _wait_for, run
from tests.e2e.rules import rules_of
from tests.engine import docker

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-tests-own"

PROGRAM = """
import flyte
image = flyte.Image.from_base("{base}").clone(name="{name}", extendable=True).with_commands(["{command}"])
if __name__ == "__main__":
    flyte.init_from_config()
    print("IMAGE", flyte.build(image).uri)
"""

IMAGE = """
name = "build-image"
base = "{base}"

[[layers]]
wheels = "dist"
package = "flyte-build"

[[layers]]
copy = "token"
to = "/etc/build-service/"
"""


@contextmanager
def serving(folder: Path, *flags: str) -> Iterator[str]:
    """`flyte-build serve` with these flags; gives its URL."""
    folder.mkdir()
    log, state = folder / "serve.log", folder / "state"
    argv = [str(BIN / "flyte-build"), "serve", "--port", "0", "--state", str(state), *flags]
    with log.open("wb") as sink:
        process = subprocess.Popen(argv, stderr=sink, stdout=sink, stdin=subprocess.DEVNULL)
    try:
        yield _wait_for(state / "endpoint.json", process, log)
    finally:
        process.terminate()
        code = process.wait(timeout=60)
    assert code == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def task_image(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with this very source installed, made by the product itself."""
    folder = tmp_path_factory.mktemp("task-image")
    made = run("uv", "build", "--wheel", "--quiet", "--out-dir", folder / "dist", ROOT)
    assert made.code == 0, made.err
    (folder / "token").mkdir()
    (folder / "token" / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    (folder / "image.toml").write_text(IMAGE.format(base=parts.base), encoding="utf-8")
    where = f"{parts.registry}/t{uuid.uuid4().hex[:8]}"
    done = run("flyte-build", "image", folder / "image.toml", "--registry", where, "--progress", "quiet", timeout=600)
    assert done.code == 0, done.err
    return done.out.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Both, as the tests reach them, and where images without a registry go."""

    flyte: Service
    builds: str
    registry: str


@pytest.fixture(scope="module")
def split(parts: Parts, task_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Split]:
    folder, registry = tmp_path_factory.mktemp("split"), f"{parts.registry}/split-{uuid.uuid4().hex[:8]}"
    rules = folder / "rules.toml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    rules.write_text(rules_of(digest, registry, f"{parts.registry}/base"), encoding="utf-8")
    rules.chmod(0o600)
    # The engine's own bridge: what containers can reach of this machine, and nobody else can.
    bridge = docker("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}").stdout.strip()
    service = ("--host", bridge, "--access", str(rules), "--registry", registry)
    with (
        serving(folder / "builds", *service) as builds,
        serving(folder / "flyte", "--registry", registry, "--build-task", "registered") as flyte,
    ):
        task = ("--image", task_image, "--token-file", "/etc/build-service/token/token", "--cpu", "1")
        argv = ("flyte-build", "register", "--endpoint", flyte, "--service", builds, *task, "--json")
        first, again = run(*argv), run(*argv)
        assert [json.loads(one.out)["status"] for one in (first, again)] == ["registered", "there already"]
        yield Split(
            flyte=Service(url=flyte, state=folder / "flyte", registry=registry), builds=builds, registry=registry
        )


def builds_of(split: Split) -> list[dict[str, object]]:
    done = run("flyte-build", "builds", "list", "--endpoint", split.builds, "--json", env={"FLYTE_BUILD_TOKEN": TOKEN})
    assert done.code == 0, done.err
    found: list[dict[str, object]] = json.loads(done.out)["builds"]
    return found


def test_the_sdk_gets_its_image_from_a_container_that_asked_the_build_service(
    split: Split, tmp_path: Path, parts: Parts, fresh_name: str
) -> None:
    text = PROGRAM.format(base=parts.base, name=fresh_name, command="echo from-the-build")
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    done = split.flyte.program(tmp_path, "program.py", timeout=300)
    url = re.search(rf"{re.escape(split.flyte.url)}/v2/\S+/runs/[a-z0-9-]+", done.out + done.err)
    assert url, done.out + done.err
    page = split.flyte.page(url[0])
    found = re.search(rf"IMAGE ({re.escape(split.registry)}/{fresh_name}@sha256:[0-9a-f]{{64}})", done.out)
    assert found, done.out + done.err + page
    assert run("crane", "digest", found[1]).code == 0
    (build,) = [one for one in builds_of(split) if str(one["target"]).startswith(f"{fresh_name}:")]
    assert (build["project"], build["state"], build["reference"]) == ("flytesnacks", "succeeded", found[1])
    assert "command: echo from-the-build" in page, "the log of the build service is the log of the task"
    assert TOKEN not in page
    request = urllib.request.Request(f"{split.builds}/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        pushed = re.search(r"^flyte_build_pushed_bytes_total (\S+)", answer.read().decode(), re.MULTILINE)
    assert pushed
    assert 0 < float(pushed[1]) < 1_000_000, "the layer of a command, without those of the base"


def test_a_step_that_fails_is_in_the_log_and_the_error_of_the_task(
    split: Split, tmp_path: Path, parts: Parts, fresh_name: str
) -> None:
    text = PROGRAM.format(base=parts.base, name=fresh_name, command="echo no-such-weather && exit 7")
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    done = split.flyte.program(tmp_path, "program.py", timeout=300)
    said = " ".join((done.out + done.err).split())
    assert "ImageBuildError" in said
    assert "exit code 7" in said, "the user reads it in the own terminal"
    url = re.search(rf"{re.escape(split.flyte.url)}/v2/\S+/runs/[a-z0-9-]+", done.out + done.err)
    assert url, done.out + done.err
    page = split.flyte.page(url[0])
    assert "failed with exit code 7" in page
    assert "no-such-weather" in page


def test_an_endpoint_that_builds_by_itself_needs_no_task(service: Service) -> None:
    done = run("flyte-build", "register", "--endpoint", service.url, "--json")
    assert (done.code, json.loads(done.out)["status"]) == (0, "built in"), done.err


def test_registering_where_nobody_listens_is_one_sentence() -> None:
    done = run("flyte-build", "register", "--endpoint", "http://127.0.0.1:1", env=dict(os.environ))
    assert done.code == 1
    assert "127.0.0.1:1" in done.err
