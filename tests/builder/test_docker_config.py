"""The private Docker configuration of a build."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from pathlib import Path

import pytest

from flyte_build.builder.buildx.docker_config import merged, private_config
from flyte_build.builder.buildx.held import held_folder
from flyte_build.registry.docker_config import DockerConfig
from flyte_build.registry.identity import Credentials
from flyte_build.registry.names import Registry

GHCR = Registry.parse("ghcr.io")
ALICE = Credentials(source="a test", username="alice", password="secret word")


def test_ours_replace_the_users_for_the_same_registry_only() -> None:
    own = {"auths": {"https://ghcr.io": {"auth": "b2xk"}, "quay.io": {"auth": "a2VlcA=="}}, "proxies": {"default": {}}}
    document = merged(own, {GHCR: ALICE})
    auth = base64.b64encode(b"alice:secret word").decode()
    assert document["auths"] == {"quay.io": {"auth": "a2VlcA=="}, "ghcr.io": {"auth": auth}}
    assert document["proxies"] == {"default": {}}


def test_a_credential_store_keeps_serving_the_others_and_never_hides_ours() -> None:
    own = {"auths": {"ghcr.io": {}, "quay.io": {}}, "credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud"}}
    document = merged(own, {GHCR: ALICE})
    assert "credsStore" not in document
    assert document["credHelpers"] == {"quay.io": "desktop", "gcr.io": "gcloud"}


def test_docker_hub_is_written_under_the_key_that_docker_reads() -> None:
    document = merged({}, {Registry.parse("docker.io"): ALICE})
    assert document["auths"] == {
        "https://index.docker.io/v1/": {"auth": base64.b64encode(b"alice:secret word").decode()}
    }


def test_an_identity_token_is_handed_on_as_one() -> None:
    token = Credentials(source="a test", identity_token="tok")
    entry = merged({}, {GHCR: token})["auths"]
    assert isinstance(entry, dict)
    assert entry["ghcr.io"]["identitytoken"] == "tok"


def test_the_folder_is_private_keeps_contexts_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    (own / "contexts").mkdir(parents=True)
    (own / "config.json").write_text('{"currentContext": "remote"}', encoding="utf-8")
    monkeypatch.setenv("DOCKER_CONFIG", str(own))
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BUILDX_CONFIG", raising=False)
    with private_config({GHCR: ALICE}) as environment:
        folder = Path(environment["DOCKER_CONFIG"])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
        assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["currentContext"] == "remote"
        assert (folder / "contexts").resolve() == (own / "contexts").resolve()
        assert environment["BUILDX_CONFIG"] == str(own / "buildx")
    assert not folder.exists()
    assert (own / "config.json").read_text(encoding="utf-8") == '{"currentContext": "remote"}'


def _other_process() -> tuple[int, Path]:
    """A process in the middle of a build: its number, and its folder."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with private_config({GHCR: ALICE}) as environment:
            os.write(writing, environment["DOCKER_CONFIG"].encode())
            signal.pause()
        os._exit(0)
    os.close(writing)
    try:
        return child, Path(os.fsdecode(os.read(reading, 4096)))
    finally:
        os.close(reading)


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def test_what_a_killed_process_left_is_removed_by_the_next_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    killed, left = _other_process()
    living, theirs = _other_process()
    try:
        _kill(killed)
        assert (left / "config.json").exists()
        with private_config({}):
            assert not left.exists()
            assert (theirs / "config.json").exists()
    finally:
        _kill(living)
    assert (theirs / "config.json").exists()
    with private_config({}):
        assert not theirs.exists()


def test_no_number_of_a_process_decides_and_no_file_of_anybodys_is_removed(tmp_path: Path) -> None:
    half = tmp_path / "0123"
    half.mkdir()
    (tmp_path / "note").write_text("mine")
    (tmp_path / "elsewhere").symlink_to(tmp_path.parent)
    with held_folder(tmp_path) as one, held_folder(tmp_path) as two:
        assert one.is_dir()
        assert two.is_dir()
        assert not half.exists()
    assert sorted(left.name for left in tmp_path.iterdir()) == [".lock", "elsewhere", "note"]


class Renewing:
    """Gives another password each time, long before the last is over."""

    def __init__(self) -> None:
        self.given = 0

    def for_registry(self, registry: Registry) -> Credentials:
        self.given += 1
        return Credentials(source="x", username="AWS", password=f"pw{self.given}", expires_at=time.time() + 1)


@pytest.mark.parametrize("host", ["ghcr.io", "docker.io", "127.0.0.1:5000"])
def test_what_expires_is_handed_over_when_it_is_asked_for(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.parse(host)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("FLYTE_BUILD_CACHE", str(tmp_path / "a cache"))
    first = Credentials(source="x", username="AWS", password="pw0", expires_at=time.time() + 1)
    with private_config({registry: first}, Renewing(), period=0.01) as environment:
        folder = Path(environment["DOCKER_CONFIG"])
        assert {file.stat().st_mode & 0o077 for file in folder.iterdir()} == {0}
        # Read as Docker reads it: the product's own reader of configurations is one.
        seen: set[str] = set()
        end = time.monotonic() + 30
        while len(seen) < 3 and time.monotonic() < end:
            found = DockerConfig(environment).for_registry(registry)
            assert found is not None
            seen.add(found.password)
    assert len(seen) >= 3
    assert not folder.exists()
