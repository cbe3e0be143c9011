"""What the guides show is true: their overlay renders, their objects are valid, what they name is there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from tests.e2e.test_docs import blocks
from tests.kubernetes.rendered import OVERLAYS, PLACE, ROOT, Manifest, build
from tests.kubernetes.test_schemas import VERSIONS, problem

from flyte_build.worker.access.rules_file import parse

pytestmark = pytest.mark.real
PAGES = ("docs/how-to/operate-in-a-cluster.md", "docs/how-to/connect-a-flyte.md")
PUBLISHED = "https://github.com/flyte-build/flyte-build//images/kubernetes"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_overlay_of_the_guide_renders_and_is_what_it_says(tmp_path: Path) -> None:
    here = tmp_path.resolve() / "builds"
    here.mkdir()
    away = Path(os.path.relpath(PLACE, here))
    for block in blocks(PAGES[0]):
        if block.mark == "file":
            text = re.sub(r"\?ref=\S+", "", block.text.replace(PUBLISHED, str(away)))
            (here.parent / block.said).write_text(text, encoding="utf-8")
    made: list[Manifest] = [one for one in yaml.safe_load_all(build("kubectl", here)) if one]
    assert [why for one in made for version in VERSIONS if (why := problem(one, version))] == []
    found = {
        (one["kind"], one["metadata"]["name"].rpartition("-")[0]): one for one in made if one["kind"] == "ConfigMap"
    }
    (rule,) = next(one for one in made if one["kind"] == "Ingress")["spec"]["rules"]
    settings = found["ConfigMap", "flyte-build-settings"]["data"]
    assert settings["PUBLIC_URL"] == f"https://{rule['host']}" == "https://builds.acme.com"
    assert parse(found["ConfigMap", "flyte-build-access"]["data"]["access.toml"], "the guide").tokens[0].name == "ada"
    addresses = re.findall(r"cidr: ?(\S+)", yaml.safe_dump(made))
    assert not [one for one in addresses if one.startswith("192.0.2.")], "a placeholder is left"
    assert {"10.20.0.0/24", "10.0.0.2/32"} <= set(addresses)


@pytest.mark.parametrize("page", PAGES)
def test_objects_that_are_shown_are_valid(page: str) -> None:
    shown = [yaml.safe_load(block.text) for block in blocks(page) if block.language == "yaml"]
    for one in [one for one in shown if one["kind"] != "Kustomization"]:
        assert [why for version in VERSIONS if (why := problem(one, version))] == []
    assert shown


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_what_is_fetched_is_this_release_and_is_there(page: str) -> None:
    written = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(rf"{PUBLISHED}/([\w/-]+)\?ref=v([\w.]+)", text_of(page))
    assert written
    assert named
    for place, version in named:
        assert (PLACE / place / "kustomization.yaml").is_file()
        assert version == written[1]


@pytest.mark.parametrize("page", PAGES)
def test_folders_labels_and_settings_that_are_named_are_there(page: str) -> None:
    text = text_of(page)
    manifests = "".join(
        file.read_text(encoding="utf-8") for file in PLACE.rglob("*") if file.suffix in (".yaml", ".env")
    )
    for path in re.findall(r"`((?:base|components|overlays)/[\w./-]+)`", text):
        assert (PLACE / path).exists(), path
    for label in re.findall(r"(flyte-build/[a-z-]+)=true", text):
        assert f'{label}: "true"' in manifests, label
    for setting in re.findall(r"`([A-Z]+_[A-Z_]+)`", text):
        assert setting in manifests or setting.startswith("AWS_"), setting


def test_every_overlay_and_component_is_told_of_in_the_folders_own_page() -> None:
    page = (PLACE / "README.md").read_text(encoding="utf-8")
    for place in (PLACE / "components").iterdir():
        assert f"{place.name}/`" in page, place.name
    assert all(f"`{one}`" in page for one in OVERLAYS)
    assert all(one in page for one in VERSIONS)


def test_register_commands_of_the_guide_are_taken_by_the_command() -> None:
    import shlex

    import click

    from flyte_build.worker.cli.commands import load

    lines = [line for block in blocks(PAGES[1]) for line in block.text.splitlines() if "flyte-build register" in line]
    assert len(lines) == 2
    for line in lines:
        command = load("register")
        command.make_parser(click.Context(command)).parse_args(shlex.split(line)[2:])
