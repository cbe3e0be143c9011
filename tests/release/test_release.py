"""One version in one place, and a release that cannot contradict it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.metadata import distribution, version
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flyte_build.worker.cli.commands import flyte_build

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "release"
WRITTEN = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
VERSION = WRITTEN[1] if WRITTEN else ""


def test_the_installed_command_says_the_version_of_pyproject() -> None:
    assert version("flyte-build") == VERSION
    said = CliRunner().invoke(flyte_build, ["--version"], prog_name="flyte-build").output
    assert said == f"flyte-build {VERSION}\n"


def test_what_is_to_be_copied_names_this_version() -> None:
    """The Action in examples and documentation, our images in manifests: the only places that repeat it."""
    folders = (ROOT / name for name in ("docs", "examples", "images"))
    pages = [ROOT / "README.md", *(file for folder in folders for file in folder.rglob("*") if file.is_file())]
    named = r"flyte-build/flyte-build(?:@v|/[a-z-]+:v?|/[a-z-]+\n\s+newTag: \"?v?)(\d+\.\d+\.\d+)"
    found = {file: re.findall(named, file.read_text(encoding="utf-8", errors="replace")) for file in pages}
    assert len([file for file, versions in found.items() if versions]) > 2
    assert {file: versions for file, versions in found.items() if set(versions) - {VERSION}} == {}


def test_every_action_in_our_workflows_is_pinned_by_a_commit_and_says_its_version() -> None:
    for file in (ROOT / ".github/workflows").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines():
            if "uses:" in line and "./" not in line:
                assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_tests_run_on_every_python_that_is_supported() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    pythons = workflow["jobs"]["check"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_no_job_of_a_release_may_do_more_than_its_own_work() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    writes = {
        name: {key for key, value in job["permissions"].items() if value == "write"}
        for name, job in workflow["jobs"].items()
    }
    assert workflow["permissions"] == {}
    assert {name: right for name, right in writes.items() if right} == {
        "pypi": {"attestations", "id-token"},
        "images": {"id-token", "packages"},
        "release": {"contents"},
    }


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`.ci/release` as a module that looks at a project of the test's own."""
    loader = SourceFileLoader("release_script", str(SCRIPT))
    spec = spec_from_loader("release_script", loader)
    assert spec is not None
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = module_from_spec(spec)
    loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n', encoding="utf-8")
    changes = "# Changelog\n\n## Unreleased\n\n## 1.2.0 (2026-11-21)\n\n- New.\n\n## 1.1.0\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(changes, encoding="utf-8")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def test_a_tag_is_released_when_version_and_changelog_agree(release: ModuleType) -> None:
    assert release.check("v1.2.0") == ""
    assert release.notes("1.2.0") == "- New."


def test_a_tag_of_another_version_is_refused(release: ModuleType) -> None:
    assert "is not v1.2.0" in release.check("v1.1.0")


def test_a_version_without_a_section_in_the_changelog_is_refused(release: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n- New.\n", encoding="utf-8")
    assert 'no section "## 1.2.0"' in release.check("v1.2.0")


def _needed(name: str, extras: frozenset[str], found: set[str]) -> set[str]:
    """Names of what a distribution needs, itself among them."""
    if canonicalize_name(name) in found:
        return found
    found.add(canonicalize_name(name))
    for text in distribution(name).requires or ():
        one = Requirement(text)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            _needed(one.name, frozenset(one.extras), found)
    return found


def test_the_client_alone_is_light() -> None:
    """Not megabytes, which are others' to change, but packages: a new one is to be thought about. 41 when written."""
    needed = _needed("flyte-build", frozenset(), set())
    heavy = {"alembic", "boto3", "celery", "cryptography", "flyte", "google-auth", "grpcio", "psycopg", "sqlalchemy"}
    assert needed & heavy == set()
    assert len(needed) <= 45, sorted(needed)
    assert heavy & _needed("flyte-build", frozenset({"worker", "aws"}), set())


def test_the_sources_hold_what_their_tests_read() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text[text.index("only-include") : text.index("[tool.ruff]")]
    for name in ("tests", "action.yml", "constraints.txt", "examples", ".github", ".ci", "docs", "images"):
        assert f'"{name}"' in listed


@pytest.mark.real
def test_workflows_action_and_dockerfiles_pass_their_checkers() -> None:
    done = subprocess.run([ROOT / "tests/parts/workflows"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
