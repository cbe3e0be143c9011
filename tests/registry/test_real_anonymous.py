"""The client against a real registry that lets anybody in, beside other people's clients."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.registry.images import config_of, index_of, manifest_of
from tests.registry.servers import (
    RawPush,
    checkers,
    docker_registry,
    judged,
)

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.descriptors import OCI_INDEX, Platform
from flyte_build.registry.errors import InvalidInput
from flyte_build.registry.names import ImageName, ImageReference, Registry, Repository
from flyte_build.registry.options import RegistryOptions

pytestmark = pytest.mark.real

AMD64, ARM64 = Platform.parse("linux/amd64"), Platform.parse("linux/arm64")
CONFIG = config_of(Env=["PATH=/opt/venv/bin:/bin"], Labels={"org.example": "x"}, User="flyte")
QUICK = RegistryOptions(backoff=0.001)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with docker_registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
def push(registry: Registry) -> Iterator[RawPush]:
    push = RawPush(f"http://{registry}")
    yield push
    push.close()


@pytest.fixture
def client() -> RegistryClient:
    return RegistryClient(None, QUICK, {})


def test_a_single_image_is_seen_as_others_see_it(registry: Registry, push: RawPush, client: RegistryClient) -> None:
    digest = push.image("acme/one", "v1", CONFIG)
    image = client.resolve(ImageName.parse(f"{registry}/acme/one:v1"), [AMD64])
    assert (image.reference.digest, image.platforms, image.labels) == (digest, (AMD64,), (("org.example", "x"),))
    assert image.config is not None
    assert (image.config.user, image.config.variable("PATH")) == ("flyte", "/opt/venv/bin:/bin")
    for tool in checkers():
        assert judged(tool, f"{registry}/acme/one:v1") == str(image.reference.digest)


def test_an_index_is_seen_as_others_see_it(registry: Registry, push: RawPush, client: RegistryClient) -> None:
    arm = config_of("arm64", Env=["PATH=/arm"])
    push.image("acme/many", "amd64", CONFIG)
    push.image("acme/many", "arm64", arm)
    index = index_of({"linux/amd64": manifest_of(CONFIG), "linux/arm64/v8": manifest_of(arm)})
    digest = push.manifest("acme/many", "v1", index, OCI_INDEX)
    name = ImageName.parse(f"{registry}/acme/many:v1")
    image = client.resolve(name, [ARM64, AMD64])
    assert (image.reference.digest, image.platforms) == (digest, (AMD64, ARM64))
    assert client.image_config(name, ARM64).variable("PATH") == "/arm"
    for tool in ("crane", "oras"):
        assert judged(tool, str(name)) == str(digest)
    with pytest.raises(InvalidInput, match="not offered for linux/riscv64"):
        client.resolve(name, [Platform.parse("linux/riscv64")])


def test_there_by_digest_and_missing_by_tag_digest_or_repository(
    registry: Registry, push: RawPush, client: RegistryClient
) -> None:
    digest = push.image("acme/there", "v1", CONFIG)
    found = [
        client.find(ImageName.parse(f"{registry}/{rest}"))
        for rest in (
            f"acme/there@{digest}",
            f"acme/there:other@{digest}",
            "acme/there:v2",
            f"acme/there@sha256:{'0' * 64}",
            "acme/nowhere:v1",
        )
    ]
    assert [image is not None for image in found] == [True, True, False, False, False]


def test_an_empty_repository_may_be_pushed_to_and_nothing_is_left(
    registry: Registry, client: RegistryClient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client.push_check(Repository.parse(f"{registry}/acme/new"))
    # A registry that deletes an upload forgets when it was started; some of its own notes stay.
    uploads = [path.name for path in tmp_path_factory.getbasetemp().rglob("acme/new/_uploads/*/*")]
    assert uploads == ["hashstates"]


def test_a_tag_is_added_and_moved_as_others_see_it(registry: Registry, push: RawPush, client: RegistryClient) -> None:
    first = push.image("acme/tags", "v1", CONFIG)
    second = push.image("acme/tags", "v2", config_of("arm64"))
    reference = ImageReference(Repository.parse(f"{registry}/acme/tags"), first)
    tags = [client.put_tag(reference, tag) for tag in ("v1", "v2", "new")]
    assert [(tag.previous, tag.moved) for tag in tags] == [(first, False), (second, True), (None, False)]
    for tool in checkers():
        assert {judged(tool, f"{registry}/acme/tags:{tag}") for tag in ("v1", "v2", "new")} == {str(first)}


def test_one_client_serves_many_threads(registry: Registry, push: RawPush, client: RegistryClient) -> None:
    digest = push.image("acme/threads", "v1", CONFIG)
    name = ImageName.parse(f"{registry}/acme/threads:v1")
    gate = threading.Barrier(8)

    def find(_: int) -> object:
        gate.wait(30)
        return client.resolve(name).reference.digest

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(find, range(8))) == {digest}


def test_a_fresh_process_checks_without_loading_what_is_heavy(tmp_path: Path) -> None:
    with docker_registry(tmp_path) as registry:
        push = RawPush(f"http://{registry}")
        push.image("acme/x", "v1", CONFIG)
        push.close()
        script = (
            "import sys\n"
            "from flyte_build.registry.client import RegistryClient\n"
            "from flyte_build.registry.names import ImageName\n"
            f"assert RegistryClient().find(ImageName.parse('{registry}/acme/x:v1'))\n"
            "heavy = {'requests', 'httpx', 'oras', 'boto3', 'subprocess', 'asyncio'}\n"
            "print(sorted(heavy & set(sys.modules)))\n"
        )
        environ = {**os.environ, "HOME": str(tmp_path)}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environ)
    assert (done.stdout, done.stderr) == ("[]\n", "")
