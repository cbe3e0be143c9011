"""The same spec built twice without any cache is the same image, to the byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builder import trees
from tests.builder.doubles import write
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file
from tests.engine import run_image

pytestmark = pytest.mark.real


def test_two_builds_without_cache_have_one_digest(tmp_path: Path, parts: Parts, where: str) -> None:
    trees.workspace(tmp_path)
    trees.wheels(tmp_path)
    write(tmp_path, {"some/a.py": "print(1)\n", "asked.txt": "packaging==24.0\n"})
    write(tmp_path, {"run.py": "# /// script\n# dependencies = ['attrs==24.2.0']\n# ///\n"})
    file = spec_file(
        tmp_path,
        parts,
        'apt = ["tree"]',
        'pip = ["six==1.16.0", "idna==3.10"]',
        'commands = ["date > /dev/null; mkdir -p /made/here && echo text > /made/here/file"]',
        'requirements = "asked.txt"',
        'uv_project = "."\ninstall = "project"',
        'uv_script = "run.py"',
        'wheels = "dist"\npackage = "member"',
        'code_bundle = "some"\nfiles = ["*.py"]\nto = "/code"',
        'copy = "some"\nto = "/app"',
        'env = { B = "2", A = "1" }',
        'workdir = "/app/new"',
        'user = "nobody"',
    )
    digests = []
    for place in ("one", "two"):
        done = run(
            "flyte-build", "image", file, "--registry", f"{where}/{place}", "--no-cache", "--reproducible", "--json"
        )
        assert done.code == 0, done.err
        digests.append(json.loads(done.out)["images"][0]["digest"])
    assert digests[0] == digests[1]


def test_gzip_layers_are_for_older_engines(tmp_path: Path, parts: Parts, where: str) -> None:
    for compression in ("zstd", "gzip"):
        # Layers of their own: what an engine has in one form it pushes in that form.
        file = spec_file(tmp_path, parts, f'commands = ["echo text > /file # {where} {compression}"]')
        place = f"{where}/{compression}"
        done = run("flyte-build", "image", file, "--registry", place, "--compression", compression)
        assert done.code == 0, done.err
        manifest = json.loads(run("crane", "manifest", done.out.strip()).out)
        assert manifest["layers"][-1]["mediaType"].endswith(f"tar+{compression}")
        assert run_image(done.out.strip(), "cat", "/file") == "text\n"
