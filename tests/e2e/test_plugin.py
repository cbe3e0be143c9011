"""The unmodified SDK driving our plugin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run

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
