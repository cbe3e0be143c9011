"""One image for two platforms, each of which ran its own steps and runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.builder.building import Workshop
from tests.builder.doubles import AMD64, ARM64, write
from tests.builder.test_real_cache import platforms_base
from tests.engine import run_image

from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.engine import BuildOptions
from flyte_build.builder.spec import Copy, ImageSpec

pytestmark = pytest.mark.real

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
# The machine of Python itself, of a compiled package and of the step that ran in the build.
SCRIPT = """
import json, platform, sys, markupsafe._speedups as compiled
made = open("/made-on").read().strip()
print(json.dumps([platform.machine(), compiled.__file__, made, open("/app/a").read(), sys.prefix]))
"""


def test_every_platform_ran_its_own_steps_and_runs(workshop: Workshop) -> None:
    write(workshop.root, {"src/a": "same"})
    spec = replace(workshop.spec(), base=workshop.parts.base_multi, platforms=(ARM64, AMD64))
    spec = spec.with_commands("uname -m > /made-on").with_pip("markupsafe==2.1.5")
    built = workshop.build(spec.with_layer(Copy(source="src", to="/app", contents=True)).with_workdir("/app"))
    assert {f"pip packages: markupsafe==2.1.5 ({name})" for name in MACHINES} <= set(built.cached())
    for name, machine in MACHINES.items():
        found = json.loads(run_image(str(built.reference), "python", "-c", SCRIPT, platform=name))
        assert found[0] == found[2] == machine
        assert machine in found[1]
        assert found[3:] == ["same", "/opt/venv"]
    for listed in BuildxEngine().installed(built.reference, built.plan.platforms, BuildOptions()):
        assert listed.distribution.startswith("debian-")
        found_in = {package.name: package for package in listed.packages}
        assert found_in["markupsafe"].purl == "pkg:pypi/markupsafe@2.1.5"
        assert found_in["markupsafe"].place == "/opt/venv"
        assert f"arch={listed.platform.architecture}" in found_in["libc6"].purl


def test_an_image_without_a_shell_is_looked_into_all_the_same(workshop: Workshop) -> None:
    metadata = "usr/lib/python3/dist-packages/six-1.0.dist-info/METADATA"
    files = {"var/lib/dpkg/status.d/libc6": "Package: libc6\nVersion: 2\nArchitecture: all\n"}
    files |= {metadata: "Name: six\nVersion: 1.0\n\nVersion: 2\n", "etc/os-release": "ID=debian\nVERSION_ID=12\n"}
    write(workshop.root, {f"files/{name}": text for name, text in files.items()})
    spec = ImageSpec(name="image", base=platforms_base(workshop), platforms=(AMD64, ARM64))
    built = workshop.build(spec.with_layer(Copy(source="files", to="/", contents=True)))
    for listed in BuildxEngine().installed(built.reference, built.plan.platforms, BuildOptions()):
        assert [package.purl for package in listed.packages] == [
            "pkg:deb/debian/libc6@2?arch=all&distro=debian-12",
            "pkg:pypi/six@1.0",
        ]
