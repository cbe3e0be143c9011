"""What the guides show is true: their overlays render, their objects are valid, what they name is there."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.e2e.test_docs import blocks
from tests.kubernetes.rendered import OVERLAYS, PLACE, ROOT, WORKLOADS, Manifest, build, matches
from tests.kubernetes.test_network import reaches
from tests.kubernetes.test_schemas import VERSIONS, problem

from flyte_build.builder.machine import find_machine
from flyte_build.registry.proxies import Proxies
from flyte_build.worker.access.rules_file import parse

pytestmark = pytest.mark.real
PAGES = ("docs/how-to/operate-in-a-cluster.md", "docs/how-to/connect-a-flyte.md")
PUBLISHED = "https://github.com/flyte-build/flyte-build//images/kubernetes"


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def rendered(folder: Path, overlay: str) -> list[Manifest]:
    """One of the overlays that the guide shows, from the files that it shows; its base is the one of this tree."""
    folder = folder.resolve()
    for block in blocks(PAGES[0]):
        if block.mark == "file":
            file = folder / block.said
            file.parent.mkdir(exist_ok=True)
            away = os.path.relpath(PLACE, file.parent)
            file.write_text(re.sub(r"\?ref=\S+", "", block.text.replace(PUBLISHED, away)), encoding="utf-8")
    for cloud in ("eks", "gke"):
        shutil.copy(folder / "builds/access.toml", folder / cloud)
    (folder / "company/ca.pem").write_text("authorities\n", encoding="utf-8")
    return [one for one in yaml.safe_load_all(build("kubectl", folder / overlay)) if one]


@pytest.mark.parametrize("overlay", ["builds", "company", "eks", "gke"])
def test_the_overlays_of_the_guide_render_and_are_what_they_say(overlay: str, tmp_path: Path) -> None:
    made = rendered(tmp_path, overlay)
    assert [why for one in made for version in VERSIONS if (why := problem(one, version))] == []
    settings, access = config(made, "flyte-build-settings"), config(made, "flyte-build-access")
    (rule,) = next(one for one in made if one["kind"] == "Ingress")["spec"]["rules"]
    assert settings["PUBLIC_URL"] == f"https://{rule['host']}" == "https://builds.acme.com"
    assert parse(access["access.toml"], "the guide").tokens[0].name == "ada"
    text = yaml.safe_dump(made)
    assert not re.search(r"cidr: ?192\.0\.2\.|example\.com|111122223333|@acme\.iam", text), "a placeholder is left"
    assert "10.20.0.0/24" in text


def config(made: list[Manifest], name: str) -> dict[str, str]:
    (found,) = [
        one["data"] for one in made if one["kind"] == "ConfigMap" and one["metadata"]["name"].rpartition("-")[0] == name
    ]
    return dict(found)


def test_in_a_companys_network_everything_comes_from_its_mirror(tmp_path: Path) -> None:
    made = rendered(tmp_path, "company")
    images = re.findall(r"image: (\S+)", yaml.safe_dump(made))
    assert len(images) == 3
    assert all(one.startswith("registry.acme.com/mirror/") for one in images), images
    accounts = [one for one in made if one["kind"] == "ServiceAccount"]
    assert accounts
    assert all(one["imagePullSecrets"] == [{"name": "mirror"}] for one in accounts)


def test_in_a_companys_network_index_proxy_and_registry_are_reached_and_nothing_else(tmp_path: Path) -> None:
    made = rendered(tmp_path, "company")
    policies = [one for one in made if one["kind"] == "NetworkPolicy"]
    for labels in (one["spec"]["template"]["metadata"]["labels"] for one in made if one["kind"] in WORKLOADS):
        mine = [one for one in policies if matches(one["spec"]["podSelector"], labels)]
        assert reaches(mine, "10.30.0.3", 443)
        assert reaches(mine, "10.30.0.16", 3128)
        assert not reaches(mine, "10.30.0.3", 80)
        assert not reaches(mine, "10.30.0.32", 443)


def test_in_a_companys_network_every_process_has_the_bundle_where_its_variables_say(tmp_path: Path) -> None:
    made = rendered(tmp_path, "company")
    settings = config(made, "flyte-build-settings")
    assert config(made, "flyte-build-authorities") == {"ca.pem": "authorities\n"}
    assert find_machine(settings).index_url == "https://packages.acme.com/simple"
    assert Proxies.parse(settings).of("https://ghcr.io/v2/") == "http://proxy.acme.com:3128"
    assert not Proxies.parse(settings).of("https://registry.acme.com/v2/")
    checked = 0
    for pod in (one["spec"]["template"]["spec"] for one in made if one["kind"] in WORKLOADS):
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            own = {one["name"]: one.get("value", "") for one in container["env"]}
            variables = own if container["name"] == "buildkit" else settings
            mounted = {one["mountPath"] for one in container["volumeMounts"] if one["name"] == "authorities"}
            assert {str(Path(variables["SSL_CERT_FILE"]).parent)} == mounted
            assert variables["HTTPS_PROXY"] == settings["HTTPS_PROXY"]
            checked += 1
    assert checked == 3


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
