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


@pytest.mark.parametrize(
    ("flags", "refused"),
    [
        pytest.param((), False, id="a network of its own"),
        pytest.param(("--driver-opt", "network=host"), True, id="a container in the machine's network"),
        pytest.param(("--driver-opt", "env.A=1,network=host"), True, id="among other options"),
        pytest.param(("--driver-opt", "network=hostile"), False, id="a network that is only called so"),
        pytest.param(("--buildkitd-flags", "--oci-worker-net=host"), True, id="steps in the network of the container"),
    ],
)
def test_a_builder_whose_steps_are_in_the_machines_network_is_known(flags: tuple[str, ...], refused: bool) -> None:
    done = docker("buildx", "create", "--name", "some", "--driver", "docker-container", *flags)
    assert done.returncode == 0, done.stderr
    engine = find_engine("some")
    assert engine.host_network is refused
    if refused:
        with pytest.raises(EngineMissing, match="they reach every service on loopback"):
            engine.require_isolation()


def test_what_buildx_refuses_is_said_in_its_own_words() -> None:
    with pytest.raises(EngineMissing, match=r"made no builder 'one': .*nosuch"):
        ensure_builder("one", "nosuch")


def test_without_docker_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineMissing, match="there is no docker command") as caught:
        container_builder()
    assert "docker-buildx" in (caught.value.hint or "")
