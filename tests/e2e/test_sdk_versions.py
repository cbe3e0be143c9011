"""SDKs as users have them: the oldest that speaks to us as it is, and the oldest with an older Connect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import Service, run
from tests.e2e.test_sdk import write_program

pytestmark = pytest.mark.real


@pytest.mark.parametrize("packages", [("flyte==2.5.5",), ("flyte==2.1.9", "connectrpc<0.11")], ids=" ".join)
def test_an_older_sdk_gets_its_image_its_bundle_and_its_output(
    tmp_path: Path, parts: Parts, service: Service, fresh_name: str, packages: tuple[str, ...]
) -> None:
    python = tmp_path / "sdk" / "bin" / "python"
    made = run("uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "sdk")
    assert made.code == 0, made.err
    installed = run("uv", "pip", "install", "--quiet", "--python", python, *packages)
    assert installed.code == 0, installed.err
    needs = ", ".join(f'"{package}"' for package in (*packages, "idna"))
    write_program(tmp_path, parts, fresh_name, packages=needs)
    done = service.program(tmp_path, str(python), "program.py")
    assert done.code == 0, done.out + done.err
    assert "OUTPUT 42" in done.out
    assert f"IMAGE {service.registry}/{fresh_name}@sha256:" in done.out
