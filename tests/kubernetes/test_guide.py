"""What the guides show is true: their objects are valid, what they name is there."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.e2e.test_docs import blocks
from tests.kubernetes.rendered import OVERLAYS, PLACE, ROOT
from tests.kubernetes.test_schemas import VERSIONS, problem

pytestmark = pytest.mark.real
PAGES = ("docs/how-to/operate-in-a-cluster.md", "docs/how-to/connect-a-flyte.md")
PUBLISHED = "https://github.com/flyte-build/flyte-build//images/kubernetes"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


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
        assert setting in manifests or setting.startswith(("AWS_", "PIP_")), setting


def test_every_overlay_and_component_is_told_of_in_the_folders_own_page() -> None:
    page = (PLACE / "README.md").read_text(encoding="utf-8")
    for place in (PLACE / "components").iterdir():
        assert f"{place.name}/`" in page, place.name
    assert all(f"`{one}`" in page for one in OVERLAYS)
    assert all(one in page for one in VERSIONS)


def test_register_commands_of_the_guide_are_taken_by_the_command() -> None:
    import click

    from flyte_build.worker.cli.commands import load

    lines = [line for block in blocks(PAGES[1]) for line in block.text.splitlines() if "flyte-build register" in line]
    assert len(lines) == 2
    for line in lines:
        command = load("register")
        command.make_parser(click.Context(command)).parse_args(shlex.split(line)[2:])


def test_secrets_of_certificates_have_the_keys_that_pods_and_the_task_read(tmp_path: Path) -> None:
    for name in ("ca", "server", "client"):
        for kind in ("crt", "key"):
            (tmp_path / f"{name}.{kind}").write_text(f"{name}'s {kind}", encoding="utf-8")
    lines = [line for line in text_of(PAGES[1]).splitlines() if line.startswith("kubectl") and "create secret" in line]
    made = {}
    for line in lines:
        command = [*shlex.split(line), "--dry-run=client", "--output=yaml"]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        secret = yaml.safe_load(done.stdout)
        texts = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
        made[secret["metadata"]["namespace"], secret["metadata"]["name"].rpartition("-")[2]] = texts
    assert made == {
        ("flyte-build", whose): {"ca.crt": "ca's crt", "tls.crt": f"{whose}'s crt", "tls.key": f"{whose}'s key"}
        for whose in ("server", "client")
    } | {
        ("research-development", "client"): {
            "ca.pem": "ca's crt", "cert.pem": "client's crt", "key.pem": "client's key",
        }
    }  # fmt: skip
