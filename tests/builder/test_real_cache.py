"""What is built again and what is not, and images for several platforms."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from tests.builder.building import Workshop
from tests.builder.doubles import AMD64, ARM64, write
from tests.engine import docker

from flyte_build.builder.spec import ImageSpec
from flyte_build.registry.errors import InvalidInput

pytestmark = pytest.mark.real


def own(cached: dict[str, bool]) -> dict[str, bool]:
    """Of the steps of the plan, leaving out what the engine does besides."""
    return {
        title: hit for title, hit in cached.items() if title.partition(" ")[0] in ("apt", "pip", "command:", "copy")
    }


def test_the_same_plan_again_is_all_cached_and_gives_the_same_digest(workshop: Workshop) -> None:
    write(workshop.root, {"src/a.py": "1", "src/deep/b.sh": "2"})
    spec = workshop.spec().with_commands(f"echo {workshop.name} > /made").with_copy("src", to="/app")
    first = workshop.build(spec)
    for path in workshop.root.rglob("*"):
        os.utime(path)
    before = os.umask(0o077)
    try:
        again = workshop.build(spec)
    finally:
        os.umask(before)
    assert own(first.cached()) == {f"command: echo {workshop.name} > /made": False, "copy to /app": False}
    assert set(own(again.cached()).values()) == {True}
    assert again.image.digest == first.image.digest


def test_one_more_pip_package_does_not_install_apt_again(workshop: Workshop) -> None:
    spec = workshop.spec().with_env({"UNIQUE": workshop.name}).with_apt("file")
    assert own(workshop.build(spec.with_pip("six")).cached())["apt packages: file"] is False
    assert own(workshop.build(spec.with_pip("six", "idna")).cached()) == {
        "apt packages: file": True,
        "pip packages: idna six": False,
    }


def test_an_edit_of_the_same_size_and_moment_is_seen(workshop: Workshop) -> None:
    """BuildKit compares size and timestamp of what it was sent before, and our timestamps never change."""
    write(workshop.root, {"src/a": workshop.name + "1"})
    spec = workshop.spec().with_copy("src", to="/app", contents=True)
    workshop.build(spec)
    write(workshop.root, {"src/a": workshop.name + "2"})
    assert workshop.run(workshop.build(spec), "cat", "/app/a") == workshop.name + "2"


def platforms_base(workshop: Workshop) -> str:
    """An image for amd64 and arm64 that has nothing but a file."""
    folder = workshop.root / "base"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n", encoding="utf-8")
    for name in ("amd64", "arm64"):
        (folder / name).write_text(name, encoding="utf-8")
    name = f"{workshop.parts.registry}/{workshop.name}-base:1"
    output = f"type=image,name={name},push=,oci-mediatypes=true,unpack=false,store=false"
    flags = ["--provenance=false", "--platform", "linux/amd64,linux/arm64", "--output", output]
    done = docker("buildx", "build", *flags, str(folder))
    assert done.returncode == 0, done.stderr
    return name


def test_an_image_for_two_platforms_is_one_index_of_both(workshop: Workshop, tmp_path: Path) -> None:
    write(workshop.root, {"src/a": "1"})
    spec = ImageSpec(name="image", base=platforms_base(workshop), platforms=(ARM64, AMD64))
    built = workshop.build(spec.with_env({"A": "1"}).with_copy("src", to="/app").with_workdir("/app"))
    raw = crane("manifest", str(built.reference))
    index = json.loads(raw)
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    found = {f"{one['platform']['os']}/{one['platform']['architecture']}": one["digest"] for one in index["manifests"]}
    assert set(found) == {"linux/amd64", "linux/arm64"}
    for platform in found:
        export = tmp_path / platform.replace("/", "-")
        crane("export", "--platform", platform, str(built.reference), str(export))
        assert {inside(export, name) for name in ("arch", "app/src/a")} == {platform.split("/")[1], "1"}
    assert built.image.platforms == (AMD64, ARM64)


def test_a_base_that_lacks_a_platform_is_said_before_anything_is_built(workshop: Workshop) -> None:
    with pytest.raises(InvalidInput) as caught:
        workshop.build(replace(workshop.spec(), platforms=(AMD64, ARM64)))
    assert "is not offered for linux/arm64" in caught.value.sentence


def inside(archive: Path, name: str) -> str:
    """A file of a tar archive."""
    return subprocess.run(["tar", "-xOf", str(archive), name], capture_output=True, text=True, check=True).stdout


def crane(*argv: str) -> str:
    """What somebody else's tool says."""
    return subprocess.run(["crane", *argv], capture_output=True, text=True, timeout=120, check=True).stdout
