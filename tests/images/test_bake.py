"""What the bake file publishes: names, tags, platforms, bases; that it agrees with who publishes and who uses it."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from tests.images.building import ROOT, SERVICES, bake

from flyte_build.worker.task.template import IMAGE

# `--print` resolves and builds nothing, but it is Buildx that reads the file.
pytestmark = pytest.mark.real
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
RUNTIMES = {f"runtime-{python.replace('.', '')}": python for python in PYTHONS}
REPOSITORY = "flyte-build/flyte-build"
PLATFORMS = ["linux/amd64", "linux/arm64"]


@cache
def _printed(**variables: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(bake((), "--print", **variables))["target"]
    return found


def as_released() -> dict[str, dict[str, object]]:
    """With the variables of the release workflow, for the version of this source."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    (step,) = (one for one in workflow["jobs"]["images"]["steps"] if "buildx bake" in one.get("run", ""))
    values = {"${{ github.repository }}": REPOSITORY, "${{ github.ref_name }}": f"v{version('flyte-build')}"}
    environment = {
        name: re.sub(r"\$\{\{.*?\}\}", lambda found: values[found[0]], text) for name, text in step["env"].items()
    }
    return _printed(GITHUB_SHA="0" * 40, GITHUB_REPOSITORY=REPOSITORY, **environment)


def test_every_image_has_the_tag_of_the_release_with_and_without_its_v() -> None:
    found, released = as_released(), version("flyte-build")
    place = f"ghcr.io/{REPOSITORY}"
    for name in SERVICES:
        assert found[name]["tags"] == [f"{place}/{name}:v{released}", f"{place}/{name}:{released}"]
    for name, python in RUNTIMES.items():
        assert found[name]["tags"] == [f"{place}/runtime:py{python}-{one}" for one in (f"v{released}", released)]


def test_what_register_names_is_what_is_published() -> None:
    assert f"{IMAGE}:{version('flyte-build')}" in as_released()["build-image"]["tags"]  # type: ignore[operator]


def test_all_are_built_for_both_platforms_on_their_base_and_say_how() -> None:
    found = as_released()
    published = (*SERVICES, *RUNTIMES)
    assert {name for name, target in found.items() if "tags" in target} == set(published)
    for name in published:
        base = f"base-{RUNTIMES.get(name, '3.13').replace('.', '')}"
        assert found[name]["platforms"] == found[base]["platforms"] == PLATFORMS
        assert found[name]["contexts"]["base"] == f"target:{base}"  # type: ignore[index]
        assert found[name]["attest"] == ["type=provenance,mode=max"]
        assert found[base]["dockerfile"] == "images/bases.Dockerfile"


def test_labels_say_what_where_from_and_which_version() -> None:
    labels = as_released()["endpoint"]["labels"]
    prefix = "org.opencontainers.image."
    assert isinstance(labels, dict)
    assert labels[f"{prefix}source"] == f"https://github.com/{REPOSITORY}"
    assert labels[f"{prefix}revision"] == "0" * 40
    assert labels[f"{prefix}version"] == version("flyte-build")
    assert labels[f"{prefix}licenses"] == "Apache-2.0"
    assert labels[f"{prefix}title"] == "flyte-build endpoint"
    assert f"{prefix}revision" not in _printed(GITHUB_SHA="")["endpoint"]["labels"]  # type: ignore[operator]


def test_secrets_are_named_only_where_they_are_given(tmp_path: Path) -> None:
    assert "secret" not in as_released()["endpoint"]
    files = {"CA_BUNDLE": "ca", "INDEX_SCRIPT": "index", "NETRC_FILE": "netrc"}
    for name in files:
        (tmp_path / name).touch()
    given = _printed(**{name: str(tmp_path / name) for name in files})["endpoint"]["secret"]
    assert given == [f"id={name},src={tmp_path / variable}" for variable, name in files.items()]


def test_bases_are_named_in_one_file_and_a_bot_finds_it() -> None:
    text = (ROOT / "images/bases.Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM python:(\S+?)-slim-trixie\S* AS python(\S+)$", text, re.M) == [(x, x) for x in PYTHONS]
    own = (ROOT / "images/Dockerfile").read_text(encoding="utf-8")
    stages = {"base", *re.findall(r" AS (\S+)$", own, re.MULTILINE)}
    assert set(re.findall(r"^FROM (?:--platform=\S+ )?(\S+)", own, re.MULTILINE)) <= stages
    bot = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text(encoding="utf-8"))
    (docker,) = (one for one in bot["updates"] if one["package-ecosystem"] == "docker")
    assert docker["directory"] == "/images"
    (ignored,) = docker["ignore"]
    assert ignored["dependency-name"] == "python"


def test_a_release_asks_for_digests_before_it_builds_anything() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    said = [one.get("run", "") for one in workflow["jobs"]["version"]["steps"]]
    assert "images/pin.py --check" in "\n".join(said)
    tested = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    assert tuple(tested["jobs"]["check"]["strategy"]["matrix"]["python"]) == PYTHONS
