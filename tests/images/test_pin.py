"""Digests of bases: written from what a registry says, all or none, and asked for before a release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.images.building import pin

DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def bases(tmp_path: Path) -> Path:
    return tmp_path / "bases.Dockerfile"


def test_a_file_whose_images_all_have_digests_passes(bases: Path) -> None:
    bases.write_text(f"# Which.\nFROM python:3.12-slim@{DIGEST} AS python3.12\n", encoding="utf-8")
    assert pin("--check", "--file", str(bases)).returncode == 0


def test_images_without_a_digest_are_named_with_what_to_do(bases: Path) -> None:
    lines = (f"FROM python:3.12@{DIGEST} AS a", "FROM python:3.13 AS b", "FROM ghcr.io/some/thing:1 AS c")
    bases.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = pin("--check", "--file", str(bases))
    assert done.returncode == 1
    assert done.stderr == (
        f"{bases} names python:3.13, ghcr.io/some/thing:1 without a digest:"
        " run `make pin` where the registry answers, and commit it\n"
    )


def test_a_file_without_images_does_not_pass(bases: Path) -> None:
    bases.write_text("FROM what:is this\n", encoding="utf-8")
    assert pin("--check", "--file", str(bases)).returncode == 1


@pytest.mark.real
def test_digests_are_what_the_registry_says_and_old_ones_are_renewed(bases: Path, parts: Parts) -> None:
    text = f"# Kept.\nFROM {parts.base} AS python3.11\nFROM {parts.base}@{DIGEST} AS other\n"
    bases.write_text(text, encoding="utf-8")
    done = pin("--file", str(bases), "--platform", "linux/amd64")
    assert done.returncode == 0, done.stderr
    crane = subprocess.run(("crane", "digest", parts.base), capture_output=True, text=True, check=True).stdout.strip()
    lines = [f"FROM {parts.base}@{crane} AS python3.11", f"FROM {parts.base}@{crane} AS other"]
    assert bases.read_text(encoding="utf-8") == "\n".join(["# Kept.", *lines, ""])
    assert done.stdout.splitlines() == lines
    assert pin("--check", "--file", str(bases)).returncode == 0


@pytest.mark.real
def test_nothing_is_written_when_one_image_is_not_there(bases: Path, parts: Parts) -> None:
    text = f"FROM {parts.base} AS a\nFROM {parts.registry}/nothing:1 AS b\n"
    bases.write_text(text, encoding="utf-8")
    done = pin("--file", str(bases), "--platform", "linux/amd64")
    assert done.returncode == 1
    assert f"there is no image {parts.registry}/nothing:1" in done.stderr
    assert "Traceback" not in done.stderr
    assert bases.read_text(encoding="utf-8") == text
    assert [file.name for file in bases.parent.iterdir()] == [bases.name]


@pytest.mark.real
def test_a_base_that_lacks_a_platform_is_refused(bases: Path, parts: Parts) -> None:
    bases.write_text(f"FROM {parts.base} AS a\n", encoding="utf-8")
    done = pin("--file", str(bases), "--platform", "linux/amd64", "--platform", "linux/s390x")
    assert done.returncode == 1
    assert "is not offered for linux/s390x" in done.stderr
