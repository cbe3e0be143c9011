"""A check of an image that exists is a fresh process: nothing that is slow to load may be on its way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = ("flyte", "flyteidl2", "google.protobuf", "packaging", "pathspec", "pydantic", "rich")
SCRIPT = f"""
import sys
from pathlib import Path
from flyte_build.builder.buildx.engine import BuildxEngine
from flyte_build.builder.once import Once
from flyte_build.builder.sources.find import find_specs
from tests.builder.doubles import planned
(found,) = find_specs(sys.argv[1])
print(planned(found.spec, found.root).tag)
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_planning_an_image_toml_loads_nothing_heavy(tmp_path: Path) -> None:
    file = tmp_path / "image.toml"
    text = 'name = "a"\n[[layers]]\npip = ["numpy", "httpx>=0.27"]\n[[layers]]\ncopy = "image.toml"\n'
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == "[]"
