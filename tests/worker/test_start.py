"""The list of commands is shown at once: nothing of what the commands need is loaded for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from flyte_build.worker.cli import main
sys.argv = ["flyte-build", *sys.argv[1:]]
try:
    main.main()
except SystemExit as done:
    code = done.code
loaded = [name for name in ("rich", "urllib3", "flyte_build.registry.client", "sqlalchemy") if name in sys.modules]
sys.stderr.write(f"{code} {loaded}")
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
    assert "╭─ Options" in done.stdout
