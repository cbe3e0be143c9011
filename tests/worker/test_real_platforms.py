"""One image for two platforms, each built by a worker of its own and joined."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec as WireSpec
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.engine import docker
from tests.worker.deployment import Deployment, deployed
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import postgres

pytestmark = pytest.mark.real

PASSWORD = {"COSIGN_PASSWORD": "correct horse"}


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


def one_worker_each(deployment: Deployment, *more: str, **environment: str) -> dict[str, str]:
    """Starts them; the owner by platform."""
    for platform in ("linux/amd64", "linux/arm64"):
        deployment.worker("--platform", platform, *more, **environment)
    deployment.until(lambda: len(deployment.ask("SELECT * FROM workers")) == 2)
    return {str(platform): str(owner) for platform, owner in deployment.ask("SELECT platforms, owner FROM workers")}


def test_a_spec_or_plan_that_names_its_platforms_is_built_for_them(
    deployment: Deployment, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    base = two_platforms(tmp_path, f"{parts.registry}/{fresh_name}-base:1")
    deployment.endpoint("--platform", "linux/amd64")
    owners = one_worker_each(deployment)

    def built(name: str, *platforms: str) -> list[tuple[object, ...]]:
        layers = [{"env": {"env_variables": {"A": name}}}]
        spec = bytes(WireSpec(base_image=base, layers=layers, platform=platforms).SerializeToString())
        end = wait_for_end(deployment.url, ask_for_build(deployment.url, spec, f"{name}:1"))
        assert end.status.phase == 5, deployment.said()
        return rows(name)

    def rows(name: str) -> list[tuple[object, ...]]:
        query = f"SELECT platforms, owner, parts FROM builds WHERE target LIKE '%{name}:%' AND parts = 0"
        return deployment.ask(f"{query} ORDER BY platforms")

    amd, arm = (("linux/amd64", owners["linux/amd64"], 0), ("linux/arm64", owners["linux/arm64"], 0))
    assert built("default") == [amd]
    assert built("arm", "linux/arm64") == [arm]
    assert built("both", "linux/arm64", "linux/amd64") == [amd, arm], "split, as no worker does both"
    (tmp_path / "image.toml").write_text(
        f'name = "plan"\nbase = "{base}"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
        '[[layers]]\nenv = { A = "plan" }\n'
    )
    done = run("flyte-build", "image", tmp_path / "image.toml", "--engine", "remote", "--endpoint", deployment.url)
    assert done.code == 0, done.err + deployment.said()
    assert rows("plan") == [amd, arm]
    for name, expected in (("arm", ["arm64"]), ("both", ["amd64", "arm64"]), ("plan", ["amd64", "arm64"])):
        (reference,) = deployment.ask(
            f"SELECT reference FROM builds WHERE target LIKE '%{name}:%' AND parent_id IS NULL"
        )
        assert architectures(str(reference[0])) == expected


def architectures(reference: str) -> list[str]:
    """Of an image, as somebody else's client reads it."""
    raw = subprocess.run(("crane", "manifest", reference), capture_output=True, check=True).stdout
    found = json.loads(raw)
    if "manifests" in found:
        return [one["platform"]["architecture"] for one in found["manifests"]]
    config = subprocess.run(("crane", "config", reference), capture_output=True, check=True).stdout
    return [json.loads(config)["architecture"]]


def test_a_platform_that_no_worker_builds_waits_says_so_and_is_built_when_one_comes(
    deployment: Deployment, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    base = two_platforms(tmp_path, f"{parts.registry}/{fresh_name}-base:1")
    deployment.endpoint()
    deployment.worker("--platform", "linux/amd64")
    deployment.until(lambda: deployment.ask("SELECT * FROM workers"))
    spec = bytes(WireSpec(base_image=base, platform=["linux/arm64"]).SerializeToString())
    asked = ask_for_build(deployment.url, spec, "arm:1")
    # By both the endpoint and the worker, once.
    deployment.until(lambda: deployment.ask("SELECT 1 FROM build_log"))
    deployment.until(lambda: deployment.ask("SELECT max(seen_at) - min(started_at) > 10 FROM workers") == [(True,)])
    said = [str(row[0]) for row in deployment.ask("SELECT entries FROM build_log ORDER BY id")]
    assert len(said) == len(set(said))
    assert "no worker builds linux/arm64: the build waits until somebody starts" in said[-1]
    assert deployment.states() == {"queued": 1}
    deployment.worker("--platform", "linux/arm64")
    assert wait_for_end(deployment.url, asked).status.phase == 5, deployment.said()


def both_workers(deployment: Deployment, *more: str, **environment: str) -> None:
    deployment.endpoint("--platform", "linux/amd64", "--platform", "linux/arm64")
    one_worker_each(deployment, *more, **environment)


def built(deployment: Deployment, base: str, name: str = "both:1") -> str:
    """An image for both platforms, as it is asked for by an SDK."""
    layers = [{"env": {"env_variables": {"A": "1"}}}]
    spec = bytes(WireSpec(base_image=base, layers=layers).SerializeToString())
    end = wait_for_end(deployment.url, ask_for_build(deployment.url, spec, name))
    assert end.status.phase == 5, deployment.said()
    ((reference,),) = deployment.ask(
        "SELECT reference FROM builds WHERE parent_id IS NULL ORDER BY created_at DESC LIMIT 1"
    )
    return str(reference)


def seen(image: str) -> list[str]:
    """The kinds of what somebody else's tool finds attached."""
    done = subprocess.run(
        ("oras", "discover", "--plain-http", "--format", "json", image), capture_output=True, check=True
    )
    kinds = (str(one["artifactType"]) for one in json.loads(done.stdout)["manifests"])
    return sorted(kind.removeprefix("application/vnd.") for kind in kinds)


def manifests(image: str) -> list[str]:
    raw = subprocess.run(("crane", "manifest", image), capture_output=True, check=True).stdout
    return [f"{image.partition('@')[0]}@{one['digest']}" for one in json.loads(raw)["manifests"]]


def forget(name: str) -> None:
    digest = subprocess.run(("crane", "digest", name), capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(("crane", "delete", f"{name.rpartition(':')[0]}@{digest}"), check=True)


def verify(image: str, *flags: str) -> dict[str, str]:
    argv = (str(Path(sys.executable).parent / "flyte-build"), "verify", image, "--json", *flags)
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return {one["check"]: one["status"] for one in json.loads(done.stdout)["checks"]}


CHECKS = ("digest", "spec", "plan", "provenance", "sbom linux/amd64", "sbom linux/arm64")


def test_each_worker_builds_its_platform_and_the_image_is_both(
    deployment: Deployment, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    base = two_platforms(tmp_path, f"{parts.registry}/{fresh_name}-base:1")
    both_workers(deployment)
    built(deployment, base)
    kinds = sorted(note[1] for note in deployment.began() if note[0] == "begin")
    assert kinds == ["both:1", "both:1linux/amd64", "both:1linux/arm64"]
    ((reference, owners),) = deployment.ask(
        "SELECT (SELECT reference FROM builds WHERE parent_id IS NULL), count(DISTINCT owner) FROM builds"
        " WHERE parent_id IS NOT NULL"
    )
    assert owners == 2, "each worker built its own platform"
    assert architectures(str(reference)) == ["amd64", "arm64"]
    raw = subprocess.run(("crane", "manifest", str(reference)), capture_output=True, check=True).stdout
    index = json.loads(raw)
    assert any("spec" in name for name in index["annotations"])
    # What nobody waits for is attached after the answer.
    deployment.until(lambda: len(seen(str(reference))) == 4)
    about = ["cyclonedx+json", "flyte-build.installed.v1+json", "flyte-build.plan.v1+json", "in-toto+json"]
    assert seen(str(reference)) == about
    for manifest in manifests(str(reference)):
        deployment.until(lambda manifest=manifest: "in-toto+json" in seen(manifest))  # type: ignore[misc] # a default
        assert seen(manifest) == ["cyclonedx+json", "flyte-build.installed.v1+json", "in-toto+json"]
    assert verify(str(reference)) == {**dict.fromkeys(CHECKS, "ok"), "signature": "unchecked"}
    assert built(deployment, base) == reference
    assert deployment.ask("SELECT count(*) FROM builds WHERE parent_id IS NULL") == [(1,)], "answered without a worker"
    assert built(deployment, base, "both:2") == reference
    first = "(SELECT min(ended_at) FROM builds WHERE parent_id IS NULL)"
    statuses = deployment.ask(f"SELECT DISTINCT status FROM builds WHERE created_at > {first}")
    assert statuses == [("exists",)], "an image that is there is not built again"


def test_what_workers_sign_together_is_signed_when_its_name_is_known(
    deployment: Deployment, parts: Parts, fresh_name: str, tmp_path: Path
) -> None:
    base = two_platforms(tmp_path, f"{parts.registry}/{fresh_name}-base:1")
    subprocess.run(
        ("cosign", "generate-key-pair"), cwd=tmp_path, env=os.environ | PASSWORD, check=True, capture_output=True
    )
    both_workers(deployment, "--sign", str(tmp_path / "cosign.key"), "--no-tlog", **PASSWORD)
    image = built(deployment, base)
    flags = ("--key", str(tmp_path / "cosign.pub"), "--no-tlog")
    assert verify(image, *flags) == dict.fromkeys((*CHECKS, "signature"), "ok")
    for one in (image, *manifests(image)):
        argv = ("cosign", "verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", one)
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    forget(f"{image.replace('@sha256:', ':sha256-')}.sig")
    assert built(deployment, base) == image
    statuses = deployment.ask("SELECT status FROM builds WHERE parent_id IS NULL ORDER BY created_at DESC LIMIT 1")
    assert statuses == [("built",)], "what exists and is not signed is built again"
    assert verify(image, *flags)["signature"] == "ok"
