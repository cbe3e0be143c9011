"""One image for two platforms, each of which ran its own steps and runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.builder.building import Workshop
from tests.builder.doubles import AMD64, ARM64, write
from tests.engine import run_image

from flyte_build.builder.spec import Copy

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
