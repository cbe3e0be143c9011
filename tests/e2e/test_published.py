"""What a release publishes as images: signed by digest, with provenance, and named with digests in the manifests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.conftest import Done, run

pytestmark = pytest.mark.real

SCRIPT = Path(__file__).parents[2] / ".ci" / "release"
PASSWORD = {"COSIGN_PASSWORD": "correct horse"}
BAKE = """
variable "REGISTRY" {}
variable "VERSION" {}
group "default" { targets = ["endpoint", "builder"] }
target "endpoint" {
  dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /endpoint\\n"
  tags = ["${REGISTRY}/endpoint:${VERSION}", "${REGISTRY}/endpoint:${trimprefix(VERSION, "v")}"]
}
target "builder" {
  dockerfile-inline = "FROM scratch\\nCOPY docker-bake.hcl /builder\\n"
  tags = ["${REGISTRY}/builder:${VERSION}"]
}
"""


def release(*argv: str | Path) -> Done:
    return run(sys.executable, SCRIPT, *argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What was pushed to `registry`, as Buildx wrote it to `metadata`."""

    registry: str
    metadata: Path


@pytest.fixture
def pushed(tmp_path: Path, where: str) -> Pushed:
    """Two images, by a bake that takes the variables which the release gives."""
    (tmp_path / "docker-bake.hcl").write_text(BAKE, encoding="utf-8")
    argv = ["docker", "buildx", "bake", "--push", "--provenance=mode=max", "--metadata-file", "pushed.json"]
    done = run(*argv, cwd=tmp_path, env={"REGISTRY": where, "VERSION": "v1.2.3"})
    assert done.code == 0, done.err
    return Pushed(registry=where, metadata=tmp_path / "pushed.json")


def test_every_image_that_was_pushed_is_signed_by_its_digest(pushed: Pushed, tmp_path: Path) -> None:
    named = release("images", pushed.metadata).out.split()
    assert [one.partition("@")[0] for one in named] == [f"{pushed.registry}/builder", f"{pushed.registry}/endpoint"]
    for one in named:
        index = json.loads(run("crane", "manifest", one).out)
        kinds = [entry.get("annotations", {}).get("vnd.docker.reference.type") for entry in index["manifests"]]
        assert "attestation-manifest" in kinds
    assert run("cosign", "generate-key-pair", cwd=tmp_path, env=PASSWORD).code == 0
    key = ("--key", "cosign.key", "--tlog-upload=false")
    signed = run("cosign", "sign", "--yes", "--recursive", *key, *named, cwd=tmp_path, env=PASSWORD)
    assert signed.code == 0, signed.err
    verify = ("cosign", "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true")
    for one in (*named, f"{pushed.registry}/endpoint:1.2.3"):
        assert run(*verify, one, cwd=tmp_path).code == 0


def test_manifests_name_what_was_pushed_by_its_digest(pushed: Pushed, tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / ".ci").mkdir(parents=True)
    (root / ".ci/release").write_bytes(SCRIPT.read_bytes())
    overlay = root / "images/kubernetes/overlays/trial"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text("resources: [pod.yaml]\n", encoding="utf-8")
    pod = overlay / "pod.yaml"
    containers = (f"{{name: {name}, image: {pushed.registry}/{name}:1.2.3}}" for name in ("endpoint",))
    head = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n"
    pod.write_text(head + "".join(f"    - {one}\n" for one in containers), encoding="utf-8")
    argv = [sys.executable, str(root / ".ci/release"), "manifests", str(tmp_path / "out"), str(pushed.metadata)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    digest = run("crane", "digest", f"{pushed.registry}/endpoint:1.2.3").out.strip()
    text = (tmp_path / "out/flyte-build-trial.yaml").read_text(encoding="utf-8")
    assert f"image: {pushed.registry}/endpoint:1.2.3@{digest}\n" in text

    pod.write_text(pod.read_text(encoding="utf-8").replace("1.2.3", "1.2.2"), encoding="utf-8")
    old = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert old.returncode == 1
    assert f"{pushed.registry}/endpoint:1.2.2" in old.stderr
