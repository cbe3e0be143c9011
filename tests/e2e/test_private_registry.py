"""Pushing to a registry with passwords: ours from the environment, and nothing written where it does not belong."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file
from tests.registry.servers import PASSWORD, USER, docker_registry, htpasswd

pytestmark = pytest.mark.real


def test_credentials_of_the_environment_reach_the_engine_and_stay_nowhere(tmp_path: Path, parts: Parts) -> None:
    file = spec_file(tmp_path, parts, 'env = { A = "1" }')
    config, cache, served = tmp_path / "docker", tmp_path / "cache", tmp_path / "served"
    for folder in (config, served):
        folder.mkdir()
    with docker_registry(served, auth=htpasswd(served)) as registry:
        env = {
            "DOCKER_CONFIG": str(config),
            "FLYTE_BUILD_CACHE": str(cache),
            "FLYTE_BUILD_REGISTRY_HOST": registry.host,
            "FLYTE_BUILD_REGISTRY_USERNAME": USER,
            "FLYTE_BUILD_REGISTRY_PASSWORD": PASSWORD,
        }
        (config / "config.json").write_text("{}", encoding="utf-8")
        done = run("flyte-build", "image", file, "--registry", f"{registry.host}/team", env=env)
        assert done.code == 0, done.err
        assert done.out.startswith(f"{registry.host}/team/trial@sha256:")
        wrong = run(
            "flyte-build", "image", file, "--registry", f"{registry.host}/team", "--force",
            env=env | {"FLYTE_BUILD_REGISTRY_PASSWORD": "guess"},
        )  # fmt: skip
    assert wrong.code == 1
    assert f"{USER} (from FLYTE_BUILD_REGISTRY_USERNAME)" in wrong.err
    assert "guess" not in wrong.err
    assert (config / "config.json").read_text(encoding="utf-8") == "{}"
    assert [left.name for left in (cache / "docker").iterdir()] == [".lock"]
    assert PASSWORD not in done.err + wrong.err
