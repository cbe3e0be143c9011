"""Pushing to a registry with passwords: ours from the environment, and nothing written where it does not belong."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.conftest import Parts
from tests.e2e.conftest import run
from tests.e2e.test_image import spec_file
from tests.registry.doubles import Says, Seen, faulty_registry
from tests.registry.servers import PASSWORD, USER, Issuer, docker_registry, htpasswd

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


def test_a_build_that_outlives_its_tokens_is_pushed_and_recorded(tmp_path: Path, parts: Parts) -> None:
    served = tmp_path / "served"
    served.mkdir()
    file = spec_file(tmp_path, parts, 'commands = ["sleep 5"]')
    issuer = Issuer.make(served, life=3)
    asked: list[tuple[float, str]] = []

    def answer(seen: Seen) -> Says:
        asked.append((time.monotonic(), f"{unquote(seen.path)} {unquote(seen.body.decode())}"))
        return issuer.answer(seen)

    with faulty_registry() as service:
        service.says("/token", answer)
        with docker_registry(served, auth=issuer.section(f"{service.url}/token")) as registry:
            env = {
                "FLYTE_BUILD_CACHE": str(tmp_path / "cache"),
                "FLYTE_BUILD_REGISTRY_HOST": registry.host,
                "FLYTE_BUILD_REGISTRY_USERNAME": USER,
                "FLYTE_BUILD_REGISTRY_PASSWORD": PASSWORD,
            }
            argv = ("flyte-build", "image", str(file), "--registry", f"{registry.host}/team")
            done = run(*argv, "--no-cache", env=env)
            assert done.code == 0, done.err
            assert "not attached" not in done.err
            checked = run(*argv, "--check", env=env)
    assert (checked.code, checked.out) == (0, done.out)
    pushes = [when for when, text in asked if "team/trial:pull,push" in text]
    # Before the build, and again when the first was over: the engine's, and ours for the record.
    assert sum(when - pushes[0] > issuer.life for when in pushes) >= 2
