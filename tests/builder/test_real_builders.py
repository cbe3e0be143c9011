"""Builders that are made on request, in a Buildx configuration of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.engine import docker

from flyte_build.builder.buildx.builders import container_builder, ensure_builder
from flyte_build.builder.buildx.docker import find_engine
from flyte_build.registry.errors import EngineMissing

pytestmark = pytest.mark.real


@pytest.fixture(autouse=True)
def _own_builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Parts) -> None:
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))


def test_a_builder_in_a_container_is_made_once_and_known_by_its_name() -> None:
    assert container_builder() == container_builder() == "flyte-build"
    engine = find_engine("flyte-build")
    assert engine.driver == "docker-container"
    assert not engine.falls_short(cache=True, platforms=2)
    assert docker("buildx", "inspect", "flyte-build").returncode == 0


def test_what_buildx_refuses_is_said_in_its_own_words() -> None:
    with pytest.raises(EngineMissing, match=r"made no builder 'one': .*nosuch"):
        ensure_builder("one", "nosuch")


def test_without_docker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match="there is no docker command") as caught:
        container_builder()
    assert "docker-buildx" in (caught.value.hint or "")
