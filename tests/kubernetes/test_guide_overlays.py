"""The overlays of the guide, as an operator would write them down: rendered, validated, and asked what they do."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from tests.e2e.test_docs import blocks
from tests.kubernetes.rendered import PLACE, WORKLOADS, Manifest, build, matches
from tests.kubernetes.test_guide import PAGES, PUBLISHED
from tests.kubernetes.test_network import reaches
from tests.kubernetes.test_schemas import VERSIONS, problem

from flyte_build.builder.machine import find_machine
from flyte_build.registry.proxies import Proxies
from flyte_build.worker.access.rules_file import parse

pytestmark = pytest.mark.real
COMPANY = ("company", "company-gke")


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
    _company_over_gke(folder)
    for company in ("company", "company-gke"):
        (folder / company / "ca.pem").write_text("authorities\n", encoding="utf-8")
    return [one for one in yaml.safe_load_all(build("kubectl", folder / overlay)) if one]


def _company_over_gke(folder: Path) -> None:
    """What the page says in words of BuildKit apart."""
    text = (folder / "company/kustomization.yaml").read_text(encoding="utf-8")
    first, target, last = text.rpartition("name: flyte-build-builder}")
    (volume,) = [line for line in first.splitlines(keepends=True) if "/volumes/-" in line]
    last = last.replace("initContainers/0", "containers/0").replace("patch: |-\n", f"patch: |-\n{volume}")
    text = first.replace("../builds", "../gke") + target.replace("builder", "buildkit") + last
    (folder / "company-gke").mkdir(exist_ok=True)
    (folder / "company-gke/kustomization.yaml").write_text(text, encoding="utf-8")
    shutil.copy(folder / "company/network.yaml", folder / "company-gke")


@pytest.mark.parametrize("overlay", ["builds", *COMPANY, "eks", "gke"])
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


@pytest.mark.parametrize("overlay", COMPANY)
def test_in_a_companys_network_everything_comes_from_its_mirror(overlay: str, tmp_path: Path) -> None:
    made = rendered(tmp_path, overlay)
    images = re.findall(r"image: (\S+)", yaml.safe_dump(made))
    assert len(images) == 3
    assert all(one.startswith("registry.acme.com/mirror/") for one in images), images
    accounts = [one for one in made if one["kind"] == "ServiceAccount"]
    assert accounts
    assert all(one["imagePullSecrets"] == [{"name": "mirror"}] for one in accounts)


@pytest.mark.parametrize("overlay", COMPANY)
def test_in_a_companys_network_index_proxy_and_registry_are_reached_and_nothing_else(
    overlay: str, tmp_path: Path
) -> None:
    made = rendered(tmp_path, overlay)
    policies = [one for one in made if one["kind"] == "NetworkPolicy"]
    for labels in (one["spec"]["template"]["metadata"]["labels"] for one in made if one["kind"] in WORKLOADS):
        mine = [one for one in policies if matches(one["spec"]["podSelector"], labels)]
        assert reaches(mine, "10.30.0.3", 443)
        assert reaches(mine, "10.30.0.16", 3128)
        assert not reaches(mine, "10.30.0.3", 80)
        assert not reaches(mine, "10.30.0.32", 443)


@pytest.mark.parametrize("overlay", COMPANY)
def test_in_a_companys_network_every_process_has_the_bundle_where_its_variables_say(
    overlay: str, tmp_path: Path
) -> None:
    made = rendered(tmp_path, overlay)
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
