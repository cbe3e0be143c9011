"""The unmodified flyte SDK, in processes of its own, against a service whose builder is a double."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec
from tests.conftest import Parts
from tests.worker.conftest import REFERENCE, Building, Served
from tests.worker.make import container_task
from tests.worker.sdk import ask_for_build, create_run, texts

from flyte_build.builder.engine import StepOutput
from flyte_build.registry.errors import BuildFailed

# Whole processes, the SDK's among them: seconds each, and so no part of `make check`.
pytestmark = pytest.mark.real

HEAD = """
import sys
import flyte
import flyte.remote
image = flyte.Image.from_debian_base(name="demo", python_version=(3, 12)).with_pip_packages("numpy")
env = flyte.TaskEnvironment("hello", image=image)

@env.task
def double(n: int) -> int:
    return 2 * n

if __name__ == "__main__":
    flyte.init(
        endpoint=sys.argv[1], insecure=True, project="p", domain="development", image_builder="remote",
    )
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    """Runs a program that begins with HEAD, at a home of its own, so that nothing is cached between tests."""
    home = tmp_path / "home"
    home.mkdir()

    def run(url: str, body: str) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / "program"
        folder.mkdir(exist_ok=True)
        lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
        (folder / "main.py").write_text(HEAD + lines)
        environment = {**os.environ, "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "300"}
        argv = [sys.executable, "main.py", url]
        return subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


Program = Callable[[str, str], "subprocess.CompletedProcess[str]"]


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_remote_build_gives_the_pinned_reference(served: Served, program: Program) -> None:
    done = program(served.url, "print(flyte.build(image).uri)")
    assert done.stdout.splitlines()[-1] == REFERENCE, done.stderr
    request = served.building.requests[0]
    spec = ImageSpec.FromString(request.spec)
    assert (spec.python_version, request.target.partition(":")[0], request.force) == ("3.12", "demo", False)
    assert (request.project, request.domain) == ("p", "development")


def test_the_files_of_an_image_arrive(served: Served, program: Program, tmp_path: Path) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "requirements.txt").write_text("numpy\n")
    done = program(served.url, "flyte.build(image.with_requirements('requirements.txt'), force=True)")
    assert done.returncode == 0, done.stderr
    assert served.building.contexts[0].startswith(b"\x1f\x8b")
    assert served.building.requests[0].force


@pytest.mark.parametrize("seconds", [pytest.param(1, id="while somebody watches"), pytest.param(0, id="at once")])
def test_a_build_that_fails_says_why_in_the_users_own_terminal(
    served: Served, program: Program, building: Building, seconds: float
) -> None:
    def act(request: object, cancelled: object) -> None:
        time.sleep(seconds)
        raise BuildFailed(
            "RUN uv pip install numpy failed with exit code 1",
            step="RUN uv pip install numpy",
            log=("No solution found", "<script>alert(1)</script>"),
        )

    building.act = act
    done = program(served.url, "flyte.run(double, 1)")
    shown = done.stdout + done.stderr
    told = " ".join(shown.split())  # the SDK wraps its lines at the width of the terminal
    assert done.returncode == 1
    assert "RUN uv pip install numpy failed with exit code 1" in told
    assert "No solution found" in told
    assert "ImageBuildError" in told
    address = next(word for line in shown.splitlines() for word in line.split() if word.startswith(f"{served.url}/v2/"))
    html = page(address)
    assert "RUN uv pip install numpy failed with exit code 1" in html
    assert "No solution found" in html
    assert "<script>" not in html


def test_a_deployed_task_can_be_found_and_deployed_again(served: Served, program: Program) -> None:
    body = """
flyte.deploy(env, version="v1")
flyte.deploy(env, version="v1")
task = flyte.remote.Task.get("hello.double", version="v1").fetch()
print(task.name, task.version, task.pb2.spec.task_template.container.image)
latest = flyte.remote.Task.get("hello.double", auto_version="latest").fetch()
print(latest.version)
print(next(iter(flyte.remote.Task.listall(by_task_name="hello.double"))).url)
"""
    done = program(served.url, body)
    *_, found, version, address = done.stdout.splitlines()
    assert (found, version) == (f"hello.double v1 {REFERENCE}", "v1"), done.stderr
    html = page(address)
    assert "Version v1" in html
    assert REFERENCE in html
    assert "/fast" in html or ".tar.gz" in html


def test_a_run_without_an_engine_fails_with_one_sentence(
    served: Served, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    body = """
run = flyte.run(double, 1)
run.wait()
details = run.details()
print("URL", run.url)
print("PHASE", run.phase)
print("ERROR", details.action_details.error_info.message)
print("IMAGE", details.action_details.pb2.task.task_template.container.image)
"""
    done = program(served.url, body)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.split(" ")[0].isupper())
    assert "engine" in said["ERROR"], done.stderr
    assert "DOCKER_HOST" in said["ERROR"]
    assert said["IMAGE"] == REFERENCE
    assert "failed" in said["PHASE"].lower()
    assert "DOCKER_HOST" in page(said["URL"])


def test_what_a_client_changes_in_the_build_task_is_not_even_kept(served: Served, program: Program) -> None:
    body = """
task = flyte.remote.Task.get("build-image", project="system", domain="production", auto_version="latest").fetch()
task.pb2.spec.task_template.container.image = "evil/image"
task.pb2.spec.task_template.container.args.append("--evil")
from flyte._internal.imagebuild.remote_builder import _validate_configuration
import asyncio, tempfile, pathlib
path = pathlib.Path(tempfile.mkdtemp()) / "spec.pb"
path.write_bytes(b"")
_, spec = flyte.remote.upload_file(path)
run = flyte.run(task.override(short_name="x"), spec=spec, context="", target_image="demo:1")
run.wait(quiet=True)
print("evil" in str(run.details().action_details.pb2), run.phase)
"""
    done = program(served.url, body)
    assert done.stdout.splitlines()[-1].startswith("False "), done.stderr
    assert "SUCCEEDED" in done.stdout.upper()


def test_the_sdk_shows_the_logs_of_builds_and_of_tasks_while_they_run(
    served: Served, program: Program, building: Building, parts: Parts
) -> None:
    building.steps = (StepOutput(title="pip packages", line="Installed 3 packages"),)
    building.act = lambda request, cancelled: time.sleep(6)  # an SDK needs four seconds to come up here
    task = container_task(parts.base, "-c", "print('hello from a task')", command=["python"])
    names = [ask_for_build(served.url).name, create_run(served.url, task, texts()).name]
    body = "".join(f"flyte.remote.Run.get({name!r}).show_logs(raw=True)\n" for name in names)
    done = program(served.url, body + f"print(list(flyte.remote.Run.get({names[0]!r}).get_logs(filter_system=True)))")
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines[:4] == ["resolving", "pushing", "Installed 3 packages", "hello from a task"], done.stderr
    assert lines[4:] == ["['     Installed 3 packages\\n']"]
