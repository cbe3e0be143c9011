"""The unmodified SDK driving our plugin."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run
from tests.engine import run_image

pytestmark = pytest.mark.real

PROGRAM = """
import flyte
image = flyte.Image.from_base("{base}").clone(name="plug", registry="{where}", extendable=True)
image = image.with_env_vars({{"A": "{a}"}})
flyte.init(image_builder="flyte-build", project="p", domain="development")
print("URI", flyte.build(image).uri)
"""


def build(folder: Path, parts: Parts, where: str, a: str) -> str:
    (folder / "program.py").write_text(PROGRAM.format(base=parts.base, where=where, a=a), encoding="utf-8")
    env = {"HOME": str(folder), "PYTHONPATH": "", "COLUMNS": "200"}
    done = run("python", "program.py", cwd=folder, env=env)
    assert done.code == 0, done.out + done.err
    match = re.search(r"^URI (\S+)$", done.out, re.MULTILINE)
    assert match, done.out
    return match[1]


def test_the_sdk_builds_through_us_and_gets_a_pinned_reference(tmp_path: Path, parts: Parts, where: str) -> None:
    first = build(tmp_path, parts, where, "1")
    assert re.fullmatch(rf"{re.escape(where)}/plug@sha256:[0-9a-f]{{64}}", first)
    assert run("crane", "digest", first).code == 0
    assert build(tmp_path, parts, where, "1") == first
    assert build(tmp_path, parts, where, "2") != first


def test_the_sdk_is_told_in_one_sentence_when_the_registry_is_down(tmp_path: Path, parts: Parts) -> None:
    (tmp_path / "program.py").write_text(
        PROGRAM.format(base=parts.base, where="127.0.0.1:9/x", a="1"), encoding="utf-8"
    )
    done = run("python", "program.py", cwd=tmp_path, env={"HOME": str(tmp_path), "PYTHONPATH": "", "COLUMNS": "200"})
    assert done.code != 0
    assert "127.0.0.1:9" in done.out + done.err
    assert "URI" not in done.out


RUN = """
import flyte
from helper import double

image = (
    flyte.Image.from_ref_name("trial")
    .clone(name="{name}", registry="{where}", extendable=True, platform=("linux/amd64",))
    .with_pip_packages(f"flyte=={{flyte.__version__}}")
    .with_commands(
        ['printf %s "$TEAM_KEY" | sha256sum > /told'], secret_mounts=[flyte.Secret(key="key", group="team")]
    )
    .with_workdir("/code")
    .with_code_bundle(copy_style="{style}")
)
env = flyte.TaskEnvironment(name="{name}", image=image)

@env.task
async def work(x: int) -> str:
    import os
    return f"{{double(x)}} {{os.path.abspath(__file__)}} {{open('/told').read()[:8]}}"

if __name__ == "__main__":
    flyte.init_from_config()
    run = flyte.with_runcontext(copy_style="none", version="1").run(work, x=21)
    run.wait(quiet=True)
    print("IMAGE", run.details().action_details.pb2.task.task_template.container.image)
    print("OUTPUT", run.outputs()[0])
"""
TOLD = hashlib.sha256(b"hush").hexdigest()[:8]


def write_run(folder: Path, where: str, style: str) -> None:
    (folder / "program.py").write_text(RUN.format(name="bundled", where=where, style=style), encoding="utf-8")
    (folder / "helper.py").write_text("def double(x):\n    return 2 * x\n", encoding="utf-8")


def test_a_run_takes_its_code_in_the_image_that_the_configured_builder_built(
    tmp_path: Path, parts: Parts, service: Service, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, where, "all")
    monkeypatch.setenv("TEAM_KEY", "hush")
    refs = ("image_refs:", f"  trial: {parts.base}")
    ran = service.program(tmp_path, "program.py", image=("builder: flyte-build", *refs))
    assert ran.code == 0, ran.out + ran.err
    assert f"OUTPUT 42 /code/program.py {TOLD}" in ran.out
    image = re.search(rf"^IMAGE {re.escape(where)}/bundled@sha256:[0-9a-f]{{64}}$", ran.out, re.MULTILINE)
    assert image, ran.out

    monkeypatch.setenv("FLYTE_IMAGE_BUILDER", "flyte-build")
    argv = ["run", "--copy-style", "none", "--version", "1", "--follow", "program.py", "work", "--x", "21"]
    again = service.program(tmp_path, "flyte", *argv, image=("builder: remote", *refs))
    assert again.code == 0, again.out + again.err
    # The folder holds the SDK's own cache by now, so that it is another image; a pinned one, as only we give.
    assert re.search(rf"{re.escape(where)}/bundled@sha256:[0-9a-f]{{64}}", again.err), again.err


def test_flytes_own_commands_build_through_us_and_a_bundle_holds_the_modules_that_were_loaded(
    tmp_path: Path, parts: Parts, service: Service, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, where, "loaded_modules")
    (tmp_path / "unused.py").write_text("", encoding="utf-8")
    monkeypatch.setenv("TEAM_KEY", "hush")
    monkeypatch.setenv("FLYTE_IMAGE_BUILDER", "flyte-build")
    refs = ("image_refs:", f"  trial: {parts.base}")
    argv = ["deploy", "--copy-style", "none", "--version", "2", "program.py", "env"]
    deployed = service.program(tmp_path, "flyte", *argv, image=refs)
    assert deployed.code == 0, deployed.out + deployed.err
    tag = next(one for one in run("crane", "ls", f"{where}/bundled").out.split() if re.fullmatch("[0-9a-f]{40}", one))
    held = run_image(f"{where}/bundled:{tag}", "find", "/code", "-type", "f").split()
    assert sorted(held) == ["/code/helper.py", "/code/program.py"]
