"""`flyte-build image --engine remote` against a served endpoint: nothing is built on this machine's side."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import BIN, Done, Service, run
from tests.engine import run_image

pytestmark = pytest.mark.real
# A client without an engine: what it asks for is built elsewhere.
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}


def spec_file(folder: Path, parts: Parts, name: str, command: str = "cat /app/src/m.py") -> Path:
    """Files and a command, which no engine remembers from another run."""
    (folder / "src").mkdir(exist_ok=True)
    (folder / "src/m.py").write_text("print('from the client')", encoding="utf-8")
    (folder / "src/big.txt").write_text("big" * 1000, encoding="utf-8")
    file = folder / "image.toml"
    layers = f'[[layers]]\ncopy = "src"\nto = "/app"\n\n[[layers]]\ncommands = ["{command}; echo {name}"]\n'
    file.write_text(f'name = "{name}"\nbase = "{parts.base}"\n\n{layers}', encoding="utf-8")
    return file


def remote(service: Service, file: Path, *flags: str) -> Done:
    env = {**NO_ENGINE, "FLYTE_BUILD_ENDPOINT": service.url, "FLYTE_BUILD_REGISTRY": ""}
    return run("flyte-build", "image", file, "--engine", "remote", *flags, env=env)


def uploads(service: Service) -> int:
    """How many uploads the store holds."""
    return sum(1 for file in (service.state / "store").rglob("*") if file.is_file() and "uploads" in file.parts)


def document(done: Done) -> dict[str, object]:
    assert done.code == 0, done.err
    found: dict[str, object] = json.loads(done.out)["images"][0]
    return found


def test_a_service_builds_what_a_client_without_an_engine_describes(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    file = spec_file(tmp_path, parts, fresh_name)
    assert remote(service, file, "--check").code == 3
    assert json.loads(remote(service, file, "--dry-run", "--json").out)["images"][0]["status"] == "planned"
    before = uploads(service)
    first = remote(service, file, "--json", "--tag", "latest")
    built = document(first)
    assert (built["status"], built["engine"]) == ("built", "remote")
    assert uploads(service) == before + 3, "the plan and two files"
    assert "print('from the client')" in first.err, "the log of the step"
    assert run_image(str(built["pinned"]), "python3", "/app/src/m.py").strip() == "from the client"
    for name in (built["reference"], f"{service.registry}/{fresh_name}:latest"):
        assert run("crane", "digest", str(name)).out.strip() == built["digest"]

    again = document(remote(service, file, "--json", "--tag", "latest"))
    assert (again["status"], again["pinned"]) == ("exists", built["pinned"])
    assert uploads(service) == before + 3, "nothing is uploaded for what exists"
    assert remote(service, file, "--check").code == 0

    other = remote(service, file, "--json", "--tag", "other")
    assert document(other)["status"] == "exists"
    assert run("crane", "digest", f"{service.registry}/{fresh_name}:other").out.strip() == built["digest"]

    (tmp_path / "src/m.py").write_text("print('changed')", encoding="utf-8")
    changed = document(remote(service, file, "--json"))
    assert changed["status"] == "built"
    assert uploads(service) == before + 5, "another plan, and the file that changed"
    # An engine here makes of the same spec an image of the same name.
    local = run("flyte-build", "image", file, "--registry", service.registry, "--engine", "buildx", "--json")
    assert (document(local)["status"], document(local)["spec_digest"]) == ("exists", changed["spec_digest"])


def test_a_failing_step_is_told_as_an_engine_here_would(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    failed = remote(service, spec_file(tmp_path, parts, fresh_name, "echo the reason; exit 7"))
    assert failed.code == 1
    assert "the reason" in failed.err
    assert f"«command: echo the reason; exit 7; echo {fresh_name}» failed with exit code 7" in failed.err
    assert "flyte-build builds logs " in failed.err
    secret = tmp_path / "image.toml"
    secret.write_text(f'{secret.read_text()}secrets = [{{ name = "token" }}]\n')
    lacking = remote(service, secret)
    assert lacking.code == 1
    assert "the project flytesnacks has no secret 'token'" in lacking.err


def test_an_interrupted_client_leaves_the_build_and_says_how_to_follow_and_stop_it(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    file = spec_file(tmp_path, parts, fresh_name, "echo begun; sleep 60")
    argv = [str(BIN / "flyte-build"), "image", str(file), "--registry", service.registry, "--engine", "remote"]
    argv += ["--endpoint", service.url]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as client:
        assert client.stderr is not None
        said = ""
        while "begun" not in said.rsplit("command:", maxsplit=1)[-1]:
            line = client.stderr.readline()
            assert line, said
            said += line
        client.send_signal(signal.SIGINT)
        rest = client.stderr.read()
    assert client.returncode == 130
    assert "goes on in the service" in rest
    assert "half-made" not in rest
    build = rest.split("builds cancel ")[1].split()[0]
    asked = ("--endpoint", service.url)
    assert json.loads(run("flyte-build", "builds", "show", build, "--json", *asked).out)["build"]["state"] == "running"
    assert run("flyte-build", "builds", "cancel", build, *asked).code == 0
    deadline = time.monotonic() + 30
    while "cancelled" not in run("flyte-build", "builds", "show", build, *asked).out:
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(("--load",), id="load"),
        pytest.param(("--no-push",), id="no push"),
        pytest.param(("--builder", "x"), id="a builder"),
        pytest.param(("--secret", "id=x,env=HOME"), id="a secret"),
        pytest.param(("--cache-to", "type=inline"), id="a cache"),
    ],
)
def test_what_a_service_does_not_take_is_refused(tmp_path: Path, flags: tuple[str, ...]) -> None:
    refused = run("flyte-build", "image", tmp_path, "--engine", "remote", *flags)
    assert refused.code == 2
    assert f"{flags[0]} does not go with --engine remote" in refused.err


def test_without_an_endpoint_it_says_what_to_give(tmp_path: Path, parts: Parts, where: str, fresh_name: str) -> None:
    file = spec_file(tmp_path, parts, fresh_name)
    env = {"FLYTECTL_CONFIG": "", "HOME": str(tmp_path), "FLYTE_BUILD_ENDPOINT": ""}
    asked = run("flyte-build", "image", file, "--registry", where, "--engine", "remote", env=env, cwd=tmp_path)
    assert asked.code == 2
    assert "give --endpoint URL, or set FLYTE_BUILD_ENDPOINT" in asked.err
    own = tmp_path / "Dockerfile"
    own.write_text(f"FROM {parts.base}\n", encoding="utf-8")
    endpoint = ("--engine", "remote", "--endpoint", "http://127.0.0.1:1")
    refused = run("flyte-build", "image", own, "--registry", where, "--name", "x", *endpoint)
    assert refused.code == 1
    assert "a Dockerfile is not built by a service" in refused.err
