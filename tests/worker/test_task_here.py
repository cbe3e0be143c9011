"""The registered task without a service: its process builds with a BuildKit elsewhere, and has no Docker engine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec
from flyteidl2.task.common_pb2 import Outputs
from tests.builder.bridge import bridged, unix_listener
from tests.conftest import Parts

from flyte_build.worker.builds.task import string_inputs

pytestmark = pytest.mark.real


def run_task(folder: Path, spec: ImageSpec, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`flyte-build task` as Flyte starts it."""
    (folder / "out").mkdir()
    (folder / "spec.pb").write_bytes(spec.SerializeToString())
    inputs = string_inputs(spec=str(folder / "spec.pb"), context="", target_image=target)
    (folder / "inputs.pb").write_bytes(inputs.SerializeToString())
    program = [str(Path(sys.executable).parent / "flyte-build"), "task"]
    return subprocess.run(
        [*program, "--inputs", str(folder / "inputs.pb"), "--outputs-path", str(folder / "out")],
        env={
            **os.environ,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
            "BUILDX_CONFIG": str(folder / "buildx"),
            "DOCKER_HOST": "unix:///nonexistent/docker.sock",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_it_builds_by_itself_and_writes_what_flyte_reads(parts: Parts, tmp_path: Path, fresh_name: str) -> None:
    spec = ImageSpec(
        base_image=parts.base, python_version=parts.python, layers=[{"commands": {"cmd": ["echo built-in-a-task"]}}]
    )
    # Paths of sockets must be short.
    with tempfile.TemporaryDirectory(prefix="fb-") as short, bridged(unix_listener(Path(short) / "kit")):
        done = run_task(
            tmp_path,
            spec,
            f"{fresh_name}:sdk-tag",
            BUILDKIT_HOST=f"unix://{short}/kit",
            FLYTE_BUILD_REGISTRY=f"{parts.registry}/tasks",
        )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "outputs.pb").exists(), done.stderr
    outputs = Outputs.FromString((tmp_path / "out" / "outputs.pb").read_bytes())
    reference = outputs.literals[0].value.scalar.primitive.string_value
    assert reference.startswith(f"{parts.registry}/tasks/{fresh_name}@sha256:")
    assert done.stdout.splitlines()[-1] == reference
    assert "command: echo built-in-a-task" in done.stdout
    assert subprocess.run(["crane", "digest", reference], capture_output=True, check=False).returncode == 0
    seen = subprocess.run(["oras", "discover", "--plain-http", reference], capture_output=True, text=True, check=True)
    kinds = ("cyclonedx+json", "in-toto+json", "flyte-build.plan.v1+json", "flyte-build.installed.v1+json")
    assert [kind for kind in kinds if kind not in seen.stdout] == []


def test_a_buildkit_that_is_not_there_is_told_where_flyte_looks(parts: Parts, tmp_path: Path) -> None:
    spec = ImageSpec(base_image=parts.base, python_version=parts.python, layers=[{"commands": {"cmd": ["true"]}}])
    address = {"BUILDKIT_HOST": f"unix://{tmp_path}/nobody.sock", "FLYTE_BUILD_REGISTRY": f"{parts.registry}/tasks"}
    done = run_task(tmp_path, spec, "demo:1", **address)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    error = ErrorDocument.FromString((tmp_path / "out" / "error.pb").read_bytes()).error
    assert (error.kind, "cannot be connected to" in error.message) == (ContainerError.RECOVERABLE, True)
