"""The registered task: what is registered, and what its process reads, asks and writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from connectrpc.errors import ConnectError
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument
from flyteidl2.task.common_pb2 import Outputs
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest
from tests.worker.conftest import REFERENCE, Building, Served
from tests.worker.guarded import Guarded
from tests.worker.sdk import SPEC, create_run, texts

from flyte_build.builder.engine import StepEnded
from flyte_build.bundler.endpoint import Endpoint
from flyte_build.bundler.wire import Patience, Wire
from flyte_build.registry.errors import (
    BuildFailed,
    FlyteBuildError,
    InvalidInput,
    RegistryUnavailable,
    ServiceDenied,
    ServiceError,
    ServiceUnavailable,
)
from flyte_build.worker.builds.request import BuildRequest
from flyte_build.worker.builds.task import string_inputs
from flyte_build.worker.cli.main import run
from flyte_build.worker.client.connect import Connect
from flyte_build.worker.task.asking import Asked, Asking
from flyte_build.worker.task.here import MountedSecrets
from flyte_build.worker.task.places import Places
from flyte_build.worker.task.process import Task
from flyte_build.worker.task.registering import checked, org_of, put
from flyte_build.worker.task.template import Registration, deploy_request

ASKS = Registration(image="ghcr.io/acme/build-image:1", release="1.2.3", service="https://builds.acme.com")
ENVIRONMENT = {
    "FLYTE_INTERNAL_EXECUTION_PROJECT": "p",
    "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
    "RUN_NAME": "r1",
    "ACTION_NAME": "a0",
}


def test_the_task_is_one_that_flyte_takes_and_the_sdk_understands() -> None:
    request = checked(deploy_request(ASKS, "acme"))
    name, template = request.task_id, request.spec.task_template
    assert (name.project, name.domain, name.name) == ("system", "production", "build-image")
    assert name.version == template.id.version
    assert name.version.startswith("1.2.3-")
    inputs = {entry.key: entry.value.type.simple for entry in template.interface.inputs.variables}
    assert inputs == dict.fromkeys(("spec", "context", "target_image"), 3)
    assert [*template.container.command] == ["flyte-build", "task"]
    assert [*template.container.args] == ["--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}"]
    assert {pair.key: pair.value for pair in template.container.env} == {"FLYTE_BUILD_SERVICE": ASKS.service}


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param({}, True, id="the same again"),
        pytest.param({"service": "https://other"}, False, id="another service"),
        pytest.param({"image": "ghcr.io/acme/build-image@sha256:0"}, False, id="another image"),
        pytest.param({"memory": "1Gi"}, False, id="more memory"),
    ],
)
def test_a_version_names_all_of_a_task(other: dict[str, str], same: bool) -> None:
    first = deploy_request(ASKS, "").task_id.version
    fields = {name: getattr(ASKS, name) for name in Registration.__slots__}
    assert (deploy_request(Registration(**{**fields, **other}), "").task_id.version == first) is same


def test_what_flyte_would_refuse_is_refused_before_it_is_sent() -> None:
    request = deploy_request(ASKS, "")
    request.task_id.name = ""
    with pytest.raises(InvalidInput, match=r"task_id\.name: "):
        checked(request)


@pytest.mark.parametrize(
    ("url", "org"),
    [("https://flyte.acme.com", "flyte"), ("http://localhost:8090", ""), ("http://127.0.0.1:8090", "127")],
)
def test_the_organization_is_the_sdks(url: str, org: str) -> None:
    assert org_of(Endpoint.parse(url)) == org


class Making:
    """Whoever makes the image: nobody."""

    def __init__(self, error: FlyteBuildError | None = None) -> None:
        self.error = error
        self.asked: Asked | None = None
        self.content: tuple[bytes, bytes] = (b"", b"")

    def build(self, asked: Asked) -> str:
        self.asked = asked
        self.content = (asked.spec.read_bytes(), asked.context.read_bytes() if asked.context else b"")
        if self.error is not None:
            raise self.error
        return REFERENCE


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What Flyte puts beside a container of the task."""
    (tmp_path / "spec.pb").write_bytes(SPEC)
    (tmp_path / "context.tar.gz").write_bytes(b"context")
    (tmp_path / "out").mkdir()
    inputs = string_inputs(
        spec=f"file://{tmp_path}/spec.pb", context=str(tmp_path / "context.tar.gz"), target_image="demo:1"
    )
    (tmp_path / "inputs.pb").write_bytes(inputs.SerializeToString())
    return tmp_path


def task(given: Path, making: Making, **changes: str) -> Task:
    return Task(
        inputs=str(given / "inputs.pb"),
        outputs_path=f"{given}/out/",
        building=lambda: making,
        environment={**ENVIRONMENT, **changes},
    )


def test_a_task_reads_its_inputs_and_writes_its_output(given: Path) -> None:
    making = Making()
    assert task(given, making).run() == REFERENCE
    assert making.content == (SPEC, b"context")
    assert making.asked is not None
    assert (making.asked.project, making.asked.target) == ("p", "demo:1")
    assert making.asked.request_id == "build-image/p/development/r1/a0"
    outputs = Outputs.FromString((given / "out" / "outputs.pb").read_bytes())
    assert outputs.literals[0].value.scalar.primitive.string_value == REFERENCE
    assert [path.name for path in (given / "out").iterdir()] == ["outputs.pb"]


@pytest.mark.parametrize(
    ("error", "code", "kind", "text"),
    [
        pytest.param(
            BuildFailed("the step failed", log=("no such package",), hint="check it"),
            "ImageBuildFailed",
            ContainerError.NON_RECOVERABLE,
            "the step failed; check it\nno such package",
            id="a build that fails",
        ),
        pytest.param(
            RegistryUnavailable("it is down"),
            "RegistryUnavailable",
            ContainerError.RECOVERABLE,
            "it is down",
            id="what may go well later",
        ),
    ],
)
def test_a_task_says_where_flyte_looks_why_it_failed(
    given: Path, error: FlyteBuildError, code: str, kind: int, text: str
) -> None:
    with pytest.raises(type(error)):
        task(given, Making(error)).run()
    written = ErrorDocument.FromString((given / "out" / "error.pb").read_bytes()).error
    assert (written.code, written.kind, written.message) == (code, kind, text)
    assert not (given / "out" / "outputs.pb").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("http://169.254.169.254/latest", "no place", id="a web address"),
        pytest.param("file://host/etc/passwd", "no place", id="a file of another machine"),
        pytest.param("/nonexistent/spec.pb", "cannot be read", id="a file that is not there"),
        pytest.param("s3://bucket", "no place", id="a bucket alone"),
    ],
)
def test_a_place_is_refused(tmp_path: Path, url: str, problem: str) -> None:
    with pytest.raises((InvalidInput, ServiceError), match=problem):
        Places({}).fetch(url, tmp_path / "copy")


def test_a_place_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(ServiceError, match="larger than 10 bytes"):
        Places({}).read(str(tmp_path / "large"), tmp_path, 10)


def test_secrets_are_those_that_flyte_mounts(tmp_path: Path) -> None:
    (tmp_path / "secrets" / "pypi").mkdir(parents=True)
    (tmp_path / "secrets" / "pypi" / "token").write_text("x")
    mounted = MountedSecrets(folder=tmp_path / "secrets")
    names = [*mounted.files("p", frozenset({"pypi.token"}))]
    assert names == ["pypi.token"]
    with pytest.raises(InvalidInput, match="not every secret"):
        mounted.files("p", frozenset({"pypi.other"}))


def asked(given: Path, request_id: str = "") -> Asked:
    return Asked(
        project="p",
        domain="development",
        target="demo:1",
        request_id=request_id,
        spec=given / "spec.pb",
        context=given / "context.tar.gz",
    )


def asking(url: str, said: list[str], token: str = "") -> Asking:
    wire = Wire(Patience(retries=0))
    return Asking(Connect(endpoint=Endpoint.parse(url), token=token, wire=wire), said.append, lambda _: None)


@pytest.mark.real
def test_a_build_is_asked_of_a_service_and_its_log_comes_back(served: Served, building: Building, given: Path) -> None:
    building.steps = (StepEnded(title="pip packages", seconds=1.0),)
    said: list[str] = []
    assert asking(served.url, said).build(asked(given, "again")) == REFERENCE
    assert said == ["resolving", "pushing", "  ✓   1.0s pip packages"]
    assert (building.requests[0].spec, building.contexts) == (SPEC, [b"context"])
    assert asking(served.url, []).build(asked(given, "again")) == REFERENCE
    assert len(building.requests) == 1, "a task that is tried again begins nothing again"


@pytest.mark.real
def test_a_build_that_fails_there_fails_here(served: Served, building: Building, given: Path) -> None:
    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        raise BuildFailed("the step failed", step="RUN x", log=("no such package",))

    building.act = act
    with pytest.raises(BuildFailed, match=r"(?s)the step failed.*no such package"):
        asking(served.url, []).build(asked(given))


@pytest.mark.real
def test_a_service_that_restarts_is_waited_for_and_no_line_is_said_twice(
    serving: Callable[..., Served], building: Building, given: Path
) -> None:
    said, pushing = list[str](), threading.Event()

    def act(request: BuildRequest, cancelled: threading.Event) -> None:
        if len(building.requests) == 1:
            assert cancelled.wait(20)
            raise BuildFailed("stopped")

    building.act = act
    first = serving()

    def hear(line: str) -> None:
        said.append(line)
        if line == "pushing":
            pushing.set()

    port = int(first.url.rpartition(":")[2])
    service = Connect(endpoint=Endpoint.parse(first.url), wire=Wire(Patience(retries=0)))
    answers: list[str] = []
    task = threading.Thread(target=lambda: answers.append(Asking(service, hear, time.sleep).build(asked(given))))
    task.start()
    assert pushing.wait(20)
    first.stop()
    serving(port=port)
    task.join(60)
    assert answers == [REFERENCE]
    assert said == ["resolving", "pushing", "resolving", "pushing"]


@pytest.mark.real
def test_a_service_lets_in_who_has_a_token(guarded: Guarded, given: Path) -> None:
    with pytest.raises(ServiceDenied, match="without a token"):
        asking(guarded.served.url, []).build(asked(given))
    assert asking(guarded.served.url, [], guarded.everything).build(asked(given)) == REFERENCE


@pytest.mark.real
def test_registering_puts_it_there_once(serving: Callable[..., Served]) -> None:
    served = serving(build_task="registered")
    endpoint = Connect(endpoint=Endpoint.parse(served.url))
    assert put(endpoint, deploy_request(ASKS, "")) == "registered"
    assert put(endpoint, deploy_request(ASKS, "")) == "there already"
    other = Connect(endpoint=Endpoint.parse(serving(served.state.parent / "other").url))
    assert put(other, deploy_request(ASKS, "")) == "built in"
    nobody = Connect(endpoint=Endpoint.parse("http://127.0.0.1:1"), wire=Wire(Patience(retries=0)))
    with pytest.raises(ServiceUnavailable):
        put(nobody, deploy_request(ASKS, ""))


def test_what_is_wrong_with_its_settings_is_also_told_where_flyte_looks(
    given: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLYTE_BUILD_SERVICE", "http://127.0.0.1:1")
    monkeypatch.setenv("FLYTE_BUILD_TOKEN_FILE", str(given))
    assert run(["task", "--inputs", str(given / "inputs.pb"), "--outputs-path", str(given / "out")]) == 0
    written = ErrorDocument.FromString((given / "out" / "error.pb").read_bytes()).error
    assert "Is a directory" in written.message
    assert "Is a directory" in capfd.readouterr().err


@pytest.mark.real
def test_what_a_client_changes_in_the_registered_task_does_not_count(
    serving: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    served = serving(build_task="registered")
    request = deploy_request(ASKS, "")
    put(Connect(endpoint=Endpoint.parse(served.url)), request)
    altered = TaskSpec.FromString(request.spec.SerializeToString())
    altered.task_template.container.image = "evil/image"
    altered.task_template.container.args.append("--evil")
    started = create_run(served.url, altered, texts(spec="x", context="", target_image="demo:1"))
    with RunServiceClientSync(served.url) as client:
        details = client.get_run_details(GetRunDetailsRequest(run_id=started)).details
    container = details.action.task.task_template.container
    assert (container.image, [*container.args]) == (ASKS.image, [*request.spec.task_template.container.args])
    altered.task_template.id.version = "nobody-registered-this"
    with pytest.raises(ConnectError, match="there is no task"):
        create_run(served.url, altered, texts(spec="x", context="", target_image="demo:1"))
