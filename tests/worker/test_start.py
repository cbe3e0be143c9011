"""The list of commands is shown at once: nothing of what the commands need is loaded for it.

What is loaded is judged, not the time: that is 0.06 s on a quiet machine, and as long as it likes on a busy one.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
before = set(sys.modules)
from flyte_build.worker.cli import main
sys.argv = ["flyte-build", *sys.argv[1:]]
try:
    main.main()
except SystemExit as done:
    code = done.code
new = set(sys.modules) - before
ours = {name for name in new if name.startswith("flyte_build.")} - {
    "flyte_build.registry", "flyte_build.registry.errors", "flyte_build.worker", "flyte_build.worker.cli",
    "flyte_build.worker.cli.commands", "flyte_build.worker.cli.main", "flyte_build.worker.cli.sections",
}
others = {name.partition(".")[0] for name in new} - sys.stdlib_module_names - {"click", "flyte_build"}
slow = new & {"asyncio", "email", "http", "importlib.metadata", "json", "logging", "socket", "ssl", "subprocess"}
if "--version" in sys.argv:
    slow = set()  # the version is read from the installed package's own file
sys.stderr.write(f"{code} {sorted(ours | others | slow)}")
"""


@pytest.mark.parametrize("argv", [["--help"], ["-h"], [], ["--version"]], ids=str)
def test_the_list_of_commands_loads_nothing_of_them(argv: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *argv], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr.endswith(" []"), done.stdout + done.stderr


def test_a_commands_own_help_is_drawn_with_its_flags() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "image", "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert "--registry" in done.stdout
    assert "╭─ Name and place" in done.stdout


@pytest.mark.parametrize("part", ["bundler.oci", "worker.drivers.verifying", "worker.drivers.why", "worker.cli.images"])
def test_who_only_reads_what_is_in_a_registry_waits_for_no_oras(part: str) -> None:
    script = f"import sys, flyte_build.{part}; print({{'oras', 'requests', 'jsonschema'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("set()\n", "")
