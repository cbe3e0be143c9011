"""Endpoint, builder and build-image as containers without root, rights or a writable file system: a build that is asked
for over the wire, and the task that `flyte-build register` registers, run to its end.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from flyteidl2.core.execution_pb2 import ErrorDocument
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec
from flyteidl2.task.common_pb2 import Outputs
from tests.builder.bridge import bridged, unix_listener
from tests.conftest import Parts
from tests.engine import PULLED, docker
from tests.images.building import Images
from tests.images.containers import Container, answer, once, running, trusting
from tests.images.layers import crane
from tests.worker.sdk import ask_for_build, wait_for_end
from tests.worker.services import free_port, postgres, redis

from flyte_build.worker.builds.task import string_inputs
from flyte_build.worker.task.template import Registration, deploy_request

pytestmark = pytest.mark.real
SUCCEEDED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """An endpoint and a builder beside a BuildKit. `kit` is the folder of its socket."""

    url: str
    health: str
    registry: str
    kit: Path
    endpoint: Container
    builder: Container


@pytest.fixture(scope="module")
def deployed(images: Images, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "store").mkdir()
    (folder / "store").chmod(0o777)
    registry, port, health = f"{images.registry}/built", free_port(), free_port()
    with ExitStack() as opened:
        database = postgres(folder / "postgres").start()
        opened.callback(database.stop)
        broker = redis(folder / "redis").start()
        opened.callback(broker.stop)
        shared = ("--registry", registry, "--store", "/store/objects")
        places = (f"--volume={folder / 'store'}:/store", f"--env=FLYTE_BUILD_DATABASE={database.url}")
        flags = (*places, f"--env=FLYTE_BUILD_BROKER={broker.url}")
        # Paths of sockets must be short.
        kit = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="fb-")))
        opened.enter_context(bridged(_open_to_all(kit)))
        opened.callback(_forget_what_was_built, registry)
        # A builder that is dead must not be waited for.
        endpoint_words = ("--host", "127.0.0.1", "--port", str(port), "--queue-timeout", "60", *shared)
        endpoint = running(images.pulled("endpoint"), *endpoint_words, flags=flags)
        socket_flags = (f"--volume={kit}:/run/buildkit", f"--env=FLYTE_BUILD_METRICS_PORT={health}")
        builder_words = (*shared, "--builder", "unix:///run/buildkit/kit")
        builder_flags = (*flags, *trusting(folder), *socket_flags)
        builder = running(images.pulled("builder"), *builder_words, flags=builder_flags)
        yield Deployed(
            url=f"http://127.0.0.1:{port}",
            health=f"http://127.0.0.1:{health}",
            registry=registry,
            kit=kit,
            endpoint=opened.enter_context(endpoint),
            builder=opened.enter_context(builder),
        )


def _forget_what_was_built(registry: str) -> None:
    """The BuildKit here is the engine's own, which keeps what it pushed."""
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    PULLED.update(name for name in listed if name.startswith(registry))


def _open_to_all(folder: Path) -> socket.socket:
    listener = unix_listener(folder / "kit")
    folder.chmod(0o755)
    (folder / "kit").chmod(0o666)
    return listener


def spec(parts: Parts, command: str) -> bytes:
    wire = ImageSpec(base_image=parts.base, python_version=parts.python, layers=[{"commands": {"cmd": [command]}}])
    return bytes(wire.SerializeToString())


@pytest.mark.parametrize("kind", ["endpoint", "builder"])
def test_it_says_that_it_is_alive_and_ready_and_docker_sees_it(deployed: Deployed, kind: str) -> None:
    container: Container = getattr(deployed, kind)
    url = deployed.url if kind == "endpoint" else deployed.health
    container.until(lambda: answer(f"{url}/healthz") and answer(f"{url}/readyz").get("ok"))
    container.until(lambda: container.fact("{{.State.Health.Status}}") == "healthy")


def test_an_image_asked_of_the_endpoint_is_built_by_the_builder(
    deployed: Deployed, parts: Parts, fresh_name: str
) -> None:
    deployed.endpoint.until(lambda: answer(f"{deployed.url}/healthz"))
    run = ask_for_build(deployed.url, spec(parts, f"echo {fresh_name} > /made"), f"{fresh_name}:1")
    details = wait_for_end(deployed.url, run)
    assert details.status.phase == SUCCEEDED, details.error_info.message + deployed.builder.log()
    with DataProxyServiceClientSync(deployed.url) as client:
        outputs = client.get_action_data(GetActionDataRequest(action_id=details.id)).outputs
    reference = outputs.literals[0].value.scalar.primitive.string_value
    assert reference.startswith(f"{deployed.registry}/{fresh_name}@sha256:")
    assert fresh_name in crane("config", reference).decode()
    states = docker("top", deployed.builder.name, "-o", "pid,stat").stdout
    assert "Z" not in states.replace("PID", ""), f"processes that nobody waited for: {states}"


def task(images: Images, folder: Path, asked: Registration, inputs: dict[str, str], *flags: str) -> tuple[int, str]:
    """What a cluster runs for the registered task, with its own placeholders filled in."""
    container = deploy_request(asked, "").spec.task_template.container
    values = {"{{.input}}": "/task/inputs.pb", "{{.outputPrefix}}": "/task/out"}
    words = [values.get(word, word) for word in (*container.command[1:], *container.args)]
    (folder / "inputs.pb").write_bytes(string_inputs(**inputs).SerializeToString())
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    environment = {
        "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
        "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
        **{pair.key: pair.value for pair in container.env},
    }
    given = (f"--volume={folder}:/task", f"--entrypoint={container.command[0]}", *flags)
    variables = tuple(f"--env={key}={value}" for key, value in environment.items())
    return once(images.pulled("build-image"), *words, flags=(*given, *variables))


def written(folder: Path) -> str:
    """The reference that a task wrote; AssertionError with what it says instead."""
    error = folder / "out" / "error.pb"
    assert not error.exists(), ErrorDocument.FromString(error.read_bytes()).error.message
    outputs = Outputs.FromString((folder / "out" / "outputs.pb").read_bytes())
    return str(outputs.literals[0].value.scalar.primitive.string_value)


def test_the_registered_task_asks_the_service_and_writes_what_flyte_reads(
    images: Images, deployed: Deployed, parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    deployed.endpoint.until(lambda: answer(f"{deployed.url}/healthz"))
    tmp_path.chmod(0o755)
    (tmp_path / "spec.pb").write_bytes(spec(parts, f"echo {fresh_name} > /made"))
    asked = Registration(image=images.reference("build-image"), release="0.0.1", service=deployed.url)
    inputs = {"spec": "/task/spec.pb", "context": "", "target_image": f"{fresh_name}:sdk"}
    code, said = task(images, tmp_path, asked, inputs)
    assert code == 0, said
    assert written(tmp_path).startswith(f"{deployed.registry}/{fresh_name}@sha256:")
    assert f"command: echo {fresh_name}" in said


def test_the_registered_task_builds_by_itself_with_a_buildkit(
    images: Images, deployed: Deployed, parts: Parts, tmp_path: Path, fresh_name: str
) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "spec.pb").write_bytes(spec(parts, f"echo {fresh_name} > /made"))
    asked = Registration(
        image=images.reference("build-image"),
        release="0.0.1",
        buildkit="unix:///run/buildkit/kit",
        registry=f"{deployed.registry}/tasks",
    )
    inputs = {"spec": "/task/spec.pb", "context": "", "target_image": f"{fresh_name}:sdk"}
    kit = f"--volume={deployed.kit}:/run/buildkit"
    code, said = task(images, tmp_path, asked, inputs, kit, *trusting(tmp_path))
    assert code == 0, said
    outputs = Outputs.FromString((tmp_path / "out" / "outputs.pb").read_bytes())
    assert outputs.literals[0].value.scalar.primitive.string_value.startswith(
        f"{deployed.registry}/tasks/{fresh_name}@"
    )


def test_an_endpoint_that_lacks_its_settings_says_so_in_one_sentence(images: Images) -> None:
    code, said = once(images.pulled("endpoint"))
    assert code == 2
    assert "no registry" in said
    code, said = once(images.pulled("endpoint"), "--registry", "ghcr.io/acme")
    assert (code, said.count("\n") <= 3, "needs a database" in said) == (1, True, True), said


def test_both_end_well_when_the_cluster_stops_them(deployed: Deployed) -> None:
    for container in (deployed.endpoint, deployed.builder):
        container.until(lambda: "healthy" in container.fact("{{.State.Health.Status}}"))  # noqa: B023
        assert container.stop() == 0, container.log()
        assert "Traceback" not in container.log()
