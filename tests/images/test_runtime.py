"""The runtime images used: by hand as their user, and by the unmodified SDK for a run with a code bundle."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run
from tests.e2e.conftest import service as served_endpoint
from tests.engine import docker, run_image
from tests.images.building import PUSH, VERSION, Images, bake, pin

from flyte_build.builder.machine import find_machine

pytestmark = pytest.mark.real
service = served_endpoint
PYTHONS = ("3.11", "3.13", "3.14")

PROGRAM = """
import flyte
from helper import facts

env = flyte.TaskEnvironment(name="{name}", image=flyte.Image.from_base("{image}"))

@env.task
async def work(x: int) -> str:
    return facts(x)

if __name__ == "__main__":
    flyte.init_from_config()
    run = flyte.run(work, x=21)
    run.wait(quiet=True)
    print("IMAGE", run.details().action_details.pb2.task.task_template.container.image)
    print("OUTPUT", run.outputs()[0])
"""
# A second module, which reaches the container in the bundle only.
HELPER = """
import os, sys

def facts(x):
    version = "%d.%d" % sys.version_info[:2]
    return f"{2 * x} {version} {os.getuid()} {os.path.dirname(os.path.abspath(__file__))}"
"""


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_run_of_the_sdk_with_a_bundle_succeeds_in_it(
    images: Images, python: str, service: Service, tmp_path: Path, fresh_name: str
) -> None:
    image = images.pulled(f"runtime:{python}")
    (tmp_path / "program.py").write_text(PROGRAM.format(name=fresh_name, image=image), encoding="utf-8")
    (tmp_path / "helper.py").write_text(HELPER, encoding="utf-8")
    done = service.program(tmp_path, "program.py")
    assert done.code == 0, done.out + done.err
    assert f"IMAGE {image}\n" in done.out
    assert f"OUTPUT 42 {python} 1000 /home/flyte\n" in done.out


def test_its_user_has_the_sdk_its_entrypoint_and_tar(images: Images, python: str) -> None:
    script = """
set -e
id -u
pwd
python -c 'import flyte, sys; print("%d.%d" % sys.version_info[:2], sys.prefix)'
a0 --help > /dev/null
tar --version > /dev/null
touch here
uv --version > /dev/null
! python -c 'open("/etc/anything", "w")' 2> /dev/null
"""
    said = run_image(images.pulled(f"runtime:{python}"), "sh", "-c", script)
    assert said.splitlines() == ["1000", "/home/flyte", f"{python} /opt/venv"]


def test_its_user_installs_packages(images: Images, python: str, tmp_path: Path) -> None:
    machine = find_machine()
    (tmp_path / "index.sh").write_text(machine.index_script(), encoding="utf-8")
    (tmp_path / "ca.pem").write_text(machine.ca.read_text(encoding="utf-8") if machine.ca else "", encoding="utf-8")
    tmp_path.chmod(0o755)
    trusting = ("--env", "SSL_CERT_FILE=/machine/ca.pem") if machine.ca else ()
    script = ". /machine/index.sh && uv pip install --quiet idna==3.10 && python -c 'import idna; print(idna.__file__)'"
    mounted = ("--volume", f"{tmp_path}:/machine:ro", *trusting)
    done = docker("run", "--rm", *mounted, images.pulled(f"runtime:{python}"), "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"/opt/venv/lib/python{python}/")


def test_an_image_built_on_it_uses_its_environment_and_its_user(
    images: Images, tmp_path: Path, fresh_name: str
) -> None:
    layers = '[[layers]]\npip = ["idna==3.10"]\n[[layers]]\nuser = "flyte"\n'
    text = f'name = "{fresh_name}"\nbase = "{images.reference("runtime:3.13")}"\npython = "3.13"\n{layers}'
    (tmp_path / "image.toml").write_text(text, encoding="utf-8")
    done = run("flyte-build", "image", tmp_path / "image.toml", "--registry", images.registry, "--progress", "quiet")
    assert done.code == 0, done.err
    script = "import flyte, idna, os; print(os.getuid(), idna.__version__, idna.__file__.split('/lib/')[0])"
    assert run_image(done.out.strip(), "python", "-c", script) == "1000 3.10 /opt/venv\n"


def test_both_platforms_are_built_without_emulating_an_install(parts: Parts, tmp_path: Path, fresh_name: str) -> None:
    bases = tmp_path / "bases.Dockerfile"
    bases.write_text(f"FROM {parts.base_multi} AS python{parts.python}\n", encoding="utf-8")
    assert pin("--file", str(bases)).returncode == 0
    machine, place = find_machine(), f"{parts.registry}/{fresh_name}"
    where = {"REGISTRY": place, "VERSION": VERSION, "BASES": str(bases), "CA_BUNDLE": str(machine.ca or "")}
    bake((f"runtime-{parts.python.replace('.', '')}",), "--set", f"*.output={PUSH}", **where)
    image = f"{place}/runtime:py{parts.python}-{VERSION}"
    script = "uname -m && a0 --help > /dev/null && uv --version && python -c 'import obstore; print(obstore.__file__)'"
    machine_name, uv, _ = run_image(image, "sh", "-c", script, platform="linux/arm64").splitlines()
    assert machine_name == "aarch64"
    assert "aarch64" in uv
    asked = ("crane", "manifest", "--platform", "linux/amd64", image)
    assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
