"""The unmodified `flyte` SDK against `flyte-build serve`: remote image build, bundle, run, deploy, and what fails."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run

pytestmark = pytest.mark.real

PROGRAM = """
import os
import flyte
from helper import double

image = (
    flyte.Image.from_base("{base}")
    .clone(name="{name}", extendable=True)
    .with_pip_packages({packages})
)
env = flyte.TaskEnvironment(name="{name}", image=image)

@env.task
async def work(x: int) -> int:
    {body}

if __name__ == "__main__":
    flyte.init_from_config()
    run = flyte.run(work, x=21)
    print("URL", run.url)
    run.wait(quiet=True)
    print("PHASE", run.phase)
    print("IMAGE", run.details().action_details.pb2.task.task_template.container.image)
    print("OUTPUT", run.outputs()[0])
"""


def write_program(folder: Path, parts: Parts, name: str, *, packages: str = "", body: str = "return double(x)") -> None:
    """A program of two modules; the second only reaches the container in the bundle."""
    packages = packages or 'f"flyte=={flyte.__version__}", "idna"'
    text = PROGRAM.format(base=parts.base, name=name, packages=packages, body=body)
    (folder / "program.py").write_text(text, encoding="utf-8")
    (folder / "helper.py").write_text("def double(x):\n    import idna\n    return 2 * x\n", encoding="utf-8")


def test_a_run_gets_its_image_its_bundle_and_its_output(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    write_program(tmp_path, parts, fresh_name)
    first = service.program(tmp_path, "program.py")
    assert first.code == 0, first.out + first.err
    assert "OUTPUT 42" in first.out
    image = _said(first.out, "IMAGE")
    assert re.fullmatch(rf"{re.escape(service.registry)}/{fresh_name}@sha256:[0-9a-f]{{64}}", image)
    assert run("crane", "digest", image).code == 0

    page = service.page(_said(first.out, "URL"))
    assert "SUCCEEDED" in page

    second = service.program(tmp_path, "program.py")
    assert second.code == 0, second.out + second.err
    assert _said(second.out, "IMAGE") == image
    assert (
        run("crane", "ls", f"{service.registry}/{fresh_name}").out.split()
        == run("crane", "ls", f"{service.registry}/{fresh_name}").out.split()
    )


def _said(out: str, word: str) -> str:
    """What the program printed after `word`; the SDK may have wrapped nothing of it."""
    match = re.search(rf"^{word} (\S+)", out, re.MULTILINE)
    assert match, out
    return match[1]


def test_a_failing_task_is_failed_with_the_users_error_and_traceback(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    write_program(tmp_path, parts, fresh_name, body='raise ValueError("no such weather")')
    done = service.program(tmp_path, "program.py")
    assert "FAILED" in _said(done.out, "PHASE").upper(), done.out + done.err
    page = service.page(_said(done.out, "URL"))
    assert "FAILED" in page
    assert "no such weather" in page


def test_a_failing_build_shows_the_step_and_its_last_lines_at_the_printed_url(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    write_program(tmp_path, parts, fresh_name, packages='"flyte-build-no-such-package"')
    done = service.program(tmp_path, "program.py")
    assert done.code != 0
    said = done.out + done.err
    assert "Build failed" in said
    url = re.search(rf"{re.escape(service.url)}/v2/\S+/runs/[a-z0-9-]+", said)
    assert url, said
    page = service.page(url[0])
    assert "pip packages: flyte-build-no-such-package" in page
    assert "was not found in the package registry" in page
    assert "the request names no platform: linux/amd64 is" in page


def test_deploy_puts_a_task_whose_image_is_pinned(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str
) -> None:
    write_program(tmp_path, parts, fresh_name)
    (tmp_path / "deploy.py").write_text(
        "import flyte, program\n"
        "flyte.init_from_config()\n"
        "flyte.deploy(program.env)\n"
        "import flyte.remote\n"
        f"task = flyte.remote.Task.get(name='{fresh_name}.work', auto_version='latest').fetch()\n"
        "print('IMAGE', task.pb2.spec.task_template.container.image)\n"
        "run = flyte.run(task, x=4)\n"
        "run.wait(quiet=True)\n"
        "print('OUTPUT', run.outputs()[0])\n",
        encoding="utf-8",
    )
    done = service.program(tmp_path, "deploy.py")
    assert done.code == 0, done.out + done.err
    assert f"{service.registry}/{fresh_name}@sha256:" in _said(done.out, "IMAGE")
    assert _said(done.out, "OUTPUT") == "8"


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path, service: Service) -> None:
    port = service.url.rsplit(":", 1)[1]
    done = run("flyte-build", "serve", "--port", port, "--state", tmp_path / "s", "--registry", "localhost:1/x")
    assert done.code == 1
    assert f"{port}" in done.err
    assert "Traceback" not in done.err
