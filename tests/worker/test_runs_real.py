"""Runs in real containers of a real engine."""

from __future__ import annotations

import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable

import pytest
from flyteidl2.common.identifier_pb2 import RunIdentifier
from flyteidl2.core.execution_pb2 import ContainerError, ErrorDocument
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import GetActionDataRequest
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest
from google.protobuf.duration_pb2 import Duration
from tests.conftest import Parts
from tests.worker.conftest import Served
from tests.worker.make import container_task
from tests.worker.sdk import create_run, texts, upload, wait_for_end, watch

from flyte_build.worker.runs.phases import Phase

pytestmark = pytest.mark.real

# What the SDK's entrypoint does, without the SDK: inputs become outputs.
COPY = "import sys, shutil; shutil.copy(sys.argv[1], sys.argv[2] + '/outputs.pb')"
IN_AND_OUT = ("{{.input}}", "{{.outputPrefix}}")


def python(parts: Parts, code: str, *args: str, **fields: object) -> TaskSpec:
    return container_task(parts.base, "-c", code, *args, command=["python"], **fields)


def containers(served: Served, run: RunIdentifier) -> list[str]:
    service = (served.state / "id").read_text()
    label = f"label=flyte-build.action={service}/p/development/{run.name}/a0"
    done = subprocess.run(["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
    return done.stdout.split()


def page(url: str, run: RunIdentifier) -> str:
    address = f"{url}/v2/domain/development/project/p/runs/{run.name}"
    with urllib.request.urlopen(address, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture
def ended(served: Served) -> Callable[..., ActionDetails]:
    """Runs a task to its end; nothing of it stays in the engine."""

    def run(task: TaskSpec, **inputs: str) -> ActionDetails:
        started = create_run(served.url, task, texts(**inputs))
        details = wait_for_end(served.url, started)
        deadline = time.monotonic() + 10
        while containers(served, started):
            assert time.monotonic() < deadline, "the container stayed"
            time.sleep(0.05)
        return details

    return run


def test_a_run_reads_its_inputs_and_its_outputs_are_kept(
    parts: Parts, served: Served, ended: Callable[..., ActionDetails]
) -> None:
    details = ended(python(parts, COPY, *IN_AND_OUT), greeting="hello")
    assert not details.error_info.message
    phases = [Phase(one.phase).name for one in details.attempts[0].phase_transitions]
    assert phases == ["QUEUED", "WAITING_FOR_RESOURCES", "INITIALIZING", "RUNNING", "SUCCEEDED"]
    with DataProxyServiceClientSync(served.url) as client:
        data = client.get_action_data(GetActionDataRequest(action_id=details.id))
    assert data.outputs.literals[0].value.scalar.primitive.string_value == "hello"
    assert data.outputs.literals == data.inputs.literals


def test_a_run_sees_its_bundle_read_only_and_nothing_else_of_the_store(
    parts: Parts, served: Served, ended: Callable[..., ActionDetails]
) -> None:
    bundle, other = upload(served.url, b"the bundle", "b.tgz"), upload(served.url, b"another one", "o.tgz")
    code = """
import os, sys
path = sys.argv[1].removeprefix("file://")
assert open(path).read() == "the bundle"
for attempt in (lambda: open(path, "a"), lambda: open("/flyte-build/input/inputs.pb", "a")):
    try:
        attempt()
    except OSError as error:
        print("refused:", error.strerror)
    else:
        raise SystemExit("it could be written")
found = [name for _, _, names in os.walk("/flyte-build/store") for name in names]
assert found == ["b.tgz"], found
open(sys.argv[2] + "/outputs.pb", "w").close()
"""
    details = ended(python(parts, code, bundle, "{{.outputPrefix}}"))
    assert details.status.phase == Phase.SUCCEEDED, details.error_info.message
    assert other


def test_a_failing_task_fails_though_its_container_exits_well(
    parts: Parts, ended: Callable[..., ActionDetails]
) -> None:
    document = ErrorDocument(error=ContainerError(code="ValueError", message="it is wrong")).SerializeToString()
    code = f"import sys; open(sys.argv[1] + '/error.pb', 'wb').write({document!r})"
    details = ended(python(parts, code, "{{.outputPrefix}}"))
    assert (details.status.phase, details.error_info.message) == (Phase.FAILED, "it is wrong")


def test_a_container_that_dies_is_reported_with_its_code_and_last_lines(
    parts: Parts, served: Served, ended: Callable[..., ActionDetails]
) -> None:
    details = ended(python(parts, "import sys; print('<b>out</b>', flush=True); sys.exit('last \\x1b[31mwords')"))
    assert "exited with code 1" in details.error_info.message
    assert "\nlast words" in details.error_info.message
    html = page(served.url, details.id.run)
    assert "&lt;b&gt;out&lt;/b&gt;" in html
    assert "last words" in html


def test_an_image_that_is_not_there_is_one_sentence(parts: Parts, ended: Callable[..., ActionDetails]) -> None:
    details = ended(container_task(f"{parts.registry}/nothing@sha256:{'0' * 64}"))
    assert details.status.phase == Phase.FAILED
    assert details.error_info.message.startswith("docker create failed: ")
    assert "\n" not in details.error_info.message


def test_a_command_that_is_not_there_is_one_sentence(parts: Parts, ended: Callable[..., ActionDetails]) -> None:
    details = ended(container_task(parts.base, command=["nothing-of-this-name"]))
    assert details.error_info.message.startswith("docker start failed: ")
    assert "nothing-of-this-name" in details.error_info.message


def test_an_image_without_the_sdk_is_said_to_be_one(parts: Parts, ended: Callable[..., ActionDetails]) -> None:
    details = ended(container_task(parts.base, "a0", "--version", "1"))
    assert details.status.phase == Phase.FAILED
    assert "the image has no flyte SDK: begin with flyte.Image.from_debian_base()" in details.error_info.message


def test_a_run_is_stopped_by_its_timeout(parts: Parts, ended: Callable[..., ActionDetails]) -> None:
    task = python(parts, "import time; time.sleep(60)")
    task.task_template.metadata.timeout.CopyFrom(Duration(seconds=1))
    assert ended(task).status.phase == Phase.TIMED_OUT


def test_an_aborted_run_stops_its_container(parts: Parts, served: Served) -> None:
    run = create_run(served.url, python(parts, "import time; time.sleep(60)"), texts())
    for details in watch(served.url, run):
        if details.status.phase == Phase.RUNNING:
            with RunServiceClientSync(served.url) as client:
                client.abort_run(AbortRunRequest(run_id=run, reason="enough"))
    assert (details.status.phase, details.abort_info.reason) == (Phase.ABORTED, "enough")
    deadline = time.monotonic() + 15
    while containers(served, run):
        assert time.monotonic() < deadline, "the container stayed"
        time.sleep(0.05)


def test_a_log_is_there_while_the_run_goes_on(parts: Parts, served: Served) -> None:
    code = "import time; print('first', flush=True); time.sleep(60)"
    run = create_run(served.url, python(parts, code), texts())
    deadline = time.monotonic() + 30
    while "first" not in page(served.url, run):
        assert time.monotonic() < deadline, "the log did not come"
        time.sleep(0.1)
    with RunServiceClientSync(served.url) as client:
        client.abort_run(AbortRunRequest(run_id=run))
    assert wait_for_end(served.url, run).status.phase == Phase.ABORTED


def test_a_run_outlives_the_endpoint_and_is_taken_up_by_the_next(parts: Parts, serving: Callable[..., Served]) -> None:
    first = serving()
    code = """
import sys, time
for number in range(30):
    print(number, flush=True)
    time.sleep(0.1)
open(sys.argv[1] + "/outputs.pb", "w").close()
"""
    run = create_run(first.url, python(parts, code, "{{.outputPrefix}}"), texts())
    for details in watch(first.url, run):
        if details.status.phase == Phase.RUNNING:
            break
    first.stop()
    second = serving()
    assert wait_for_end(second.url, run).status.phase == Phase.SUCCEEDED
    assert "".join(f"{number}\n" for number in range(30)) in page(second.url, run)


def test_a_run_whose_container_vanished_meanwhile_fails_with_that_reason(
    parts: Parts, serving: Callable[..., Served]
) -> None:
    first = serving()
    run = create_run(first.url, python(parts, "import time; time.sleep(60)"), texts())
    deadline = time.monotonic() + 30
    while not containers(first, run):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    first.stop()
    subprocess.run(["docker", "rm", "-f", *containers(first, run)], check=True, capture_output=True)
    details = wait_for_end(serving().url, run)
    assert details.status.phase == Phase.FAILED
    assert details.error_info.message


def test_more_runs_than_slots_wait_and_all_end(parts: Parts, served: Served) -> None:
    task = python(parts, COPY, *IN_AND_OUT)
    runs = [create_run(served.url, task, texts(number=str(number))) for number in range(5)]
    ends: list[int] = []

    def follow(run: RunIdentifier) -> None:
        ends.append(wait_for_end(served.url, run).status.phase)

    threads = [threading.Thread(target=follow, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends == [Phase.SUCCEEDED] * 5


def test_a_container_that_a_killed_endpoint_left_is_removed_by_the_next(
    parts: Parts, serving: Callable[..., Served]
) -> None:
    first = serving()
    first.stop()
    service = (first.state / "id").read_text()
    labels = [f"--label=flyte-build.service={service}", f"--label=flyte-build.action={service}/p/development/gone/a0"]
    create = ["docker", "create", *labels, parts.base, "true"]
    subprocess.run(create, check=True, capture_output=True)
    gone = RunIdentifier(project="p", domain="development", name="gone")
    assert containers(first, gone)
    second = serving()
    deadline = time.monotonic() + 15
    while containers(second, gone):
        assert time.monotonic() < deadline, "the container stayed"
        time.sleep(0.05)
