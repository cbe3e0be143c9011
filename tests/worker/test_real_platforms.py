"""One image for two platforms, each built by a worker of its own and joined."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as WireSpec
from tests.conftest import Parts
from tests.engine import docker
from tests.worker.deployment import Deployment, deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import postgres

pytestmark = pytest.mark.real


@pytest.fixture
def deployment(tmp_path: Path, parts: Parts, fresh_name: str) -> Iterator[Deployment]:
    server = postgres(tmp_path / "postgres").start()
    with deployed(tmp_path / "d", f"{parts.registry}/{fresh_name}", server, None) as deployment:
        yield deployment
    server.stop()


def two_platforms(folder: Path, name: str) -> str:
    """A base for amd64 and arm64 in which nothing can be run."""
    (folder / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n")
    for architecture in ("amd64", "arm64"):
        (folder / architecture).write_text(architecture)
    output = f"type=image,name={name},push=,oci-mediatypes=true,unpack=false,store=false"
    flags = ["--provenance=false", "--platform", "linux/amd64,linux/arm64", "--output", output]
    done = docker("buildx", "build", *flags, str(folder))
    assert done.returncode == 0, done.stderr
    return name


def test_each_worker_builds_its_platform_and_the_image_is_both(
    deployment: Deployment, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    base = two_platforms(tmp_path, f"{parts.registry}/{fresh_name}-base:1")
    deployment.endpoint("--platform", "linux/amd64", "--platform", "linux/arm64")
    for platform in ("linux/amd64", "linux/arm64"):
        deployment.worker("--platform", platform)
    deployment.until(lambda: len(deployment.ask("SELECT * FROM workers")) == 2)
    layers = [{"env": {"env_variables": {"A": "1"}}}]
    spec = bytes(WireSpec(base_image=base, layers=layers).SerializeToString())
    end = wait_for_end(deployment.url, ask_for_build(deployment.url, spec, "both:1"))
    assert end.status.phase == 5, deployment.said()
    kinds = sorted(note[1] for note in deployment.began() if note[0] == "begin")
    assert kinds == ["both:1", "both:1linux/amd64", "both:1linux/arm64"]
    ((reference, owners),) = deployment.ask(
        "SELECT (SELECT reference FROM builds WHERE parent_id IS NULL), count(DISTINCT owner) FROM builds"
        " WHERE parent_id IS NOT NULL"
    )
    assert owners == 2, "each worker built its own platform"
    raw = subprocess.run(("crane", "manifest", str(reference)), capture_output=True, check=True).stdout
    index = json.loads(raw)
    assert [one["platform"]["architecture"] for one in index["manifests"]] == ["amd64", "arm64"]
    assert any("spec" in name for name in index["annotations"])
    again = wait_for_end(deployment.url, ask_for_build(deployment.url, spec, "both:1"))
    assert again.status.phase == 5
    assert deployment.ask("SELECT count(*) FROM builds WHERE parent_id IS NULL") == [(1,)], "answered without a worker"
    other = wait_for_end(deployment.url, ask_for_build(deployment.url, spec, "both:2"))
    assert other.status.phase == 5
    first = "(SELECT min(ended_at) FROM builds WHERE parent_id IS NULL)"
    statuses = deployment.ask(f"SELECT DISTINCT status FROM builds WHERE created_at > {first}")
    assert statuses == [("exists",)], "an image that is there is not built again"
