"""Every overlay is what two tools make of it, at one version, and what a release publishes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from tests.kubernetes.rendered import ADDED, EVERY, OVERLAYS, PLACE, ROOT, containers, objects, text_of

pytestmark = pytest.mark.real
OURS = "ghcr.io/flyte-build/flyte-build"


@pytest.mark.parametrize("name", EVERY)
def test_kustomize_and_kubectl_render_the_same(name: str) -> None:
    assert list(yaml.safe_load_all(text_of(name, "kustomize"))) == list(yaml.safe_load_all(text_of(name, "kubectl")))


def test_the_overlays_are_those_that_are_promised() -> None:
    assert OVERLAYS == ("build-task-only", "eks", "gke", "production", "trial")


def test_every_component_is_rendered_by_some_test() -> None:
    def named(folder: Path) -> set[Path]:
        said = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
        below = [folder / one for key in ("components", "resources") for one in said.get(key, ())]
        folders = {one.resolve() for one in below if one.is_dir()}
        return folders.union(*(named(one) for one in folders)) if folders else folders

    used = set().union(*(named(PLACE / "overlays" / one) for one in OVERLAYS))
    added = {PLACE / "components" / one for _, components in ADDED.values() for one in components}
    used |= added.union(*(named(one) for one in added))
    assert {file.parent for file in (PLACE / "components").rglob("kustomization.yaml")} <= used


def test_a_release_has_one_file_for_each_overlay_with_the_digests_of_what_was_pushed(tmp_path: Path) -> None:
    names, version = {"endpoint": "a" * 64, "builder": "b" * 64}, metadata.version("flyte-build")
    pushed = {
        one: {
            "image.name": f"ghcr.io/flyte-build/flyte-build/{one}:{version}",
            "containerimage.digest": f"sha256:{hex_}",
        }
        for one, hex_ in names.items()
    }
    (tmp_path / "pushed.json").write_text(json.dumps(pushed), encoding="utf-8")
    argv = (sys.executable, ROOT / ".ci/release", "manifests", tmp_path / "new", tmp_path / "pushed.json")
    subprocess.run(argv, check=True)
    assert {file.name for file in (tmp_path / "new").iterdir()} == {f"flyte-build-{one}.yaml" for one in OVERLAYS}
    for one in OVERLAYS:
        written = (tmp_path / "new" / f"flyte-build-{one}.yaml").read_text(encoding="utf-8")
        for hex_ in names.values():
            written = written.replace(f"@sha256:{hex_}", "")
        assert written == text_of(one)


@pytest.mark.parametrize("name", EVERY)
def test_our_images_have_the_version_of_pyproject_and_none_is_the_latest(name: str) -> None:
    written = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert written
    for container in containers(name):
        image, _, tag = container.spec["image"].rpartition(":")
        assert "/" in image, f"{container.name} has no image from the one place: {container.spec['image']}"
        assert tag
        assert tag != "latest"
        if image.startswith("ghcr.io/flyte-build/"):
            assert image in {f"{OURS}/{one}" for one in ("endpoint", "builder")}
            assert tag == written[1]


def test_the_version_is_written_once() -> None:
    ours = [
        file.relative_to(PLACE).as_posix()
        for file in PLACE.rglob("*.yaml")
        if re.search(r"newTag|image: \S*:", file.read_text(encoding="utf-8"))
    ]
    assert ours == ["components/images/kustomization.yaml"]


def test_the_trial_registry_adds_to_what_buildkit_is_told_and_changes_nothing() -> None:
    common = (PLACE / "components/common/buildkitd.toml").read_text(encoding="utf-8")
    assert (PLACE / "components/registry/buildkitd.toml").read_text(encoding="utf-8").startswith(common)


@pytest.mark.parametrize("name", EVERY)
def test_everything_is_in_one_namespace_and_nothing_is_for_the_whole_cluster(name: str) -> None:
    for one in objects(name):
        if one["kind"] == "Namespace":
            assert one["metadata"]["name"] == "flyte-build"
        else:
            assert one["metadata"].get("namespace") == "flyte-build", one["metadata"]["name"]
