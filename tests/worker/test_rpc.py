"""What a client may ask that the SDK would not, and what it asks more than once."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions import actions_service_pb2
from flyteidl2.actions.actions_service_connect import ActionsServiceClientSync
from flyteidl2.common.identifier_pb2 import ActionIdentifier, RunIdentifier
from flyteidl2.common.run_pb2 import OffloadedInputData
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.imagebuilder.payload_pb2 import GetImageRequest
from flyteidl2.imagebuilder.service_connect import ImageServiceClientSync
from flyteidl2.task import task_definition_pb2, task_service_pb2
from flyteidl2.task.task_service_connect import TaskServiceClientSync
from flyteidl2.workflow import run_service_pb2
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from google.protobuf.duration_pb2 import Duration
from tests.worker.conftest import REFERENCE, Building, Served
from tests.worker.make import action, container_task
from tests.worker.sdk import PROJECT, SPEC, ask_for_build, create_run, texts, upload, wait_for_end, watch

from flyte_build.builder.engine import StepEnded
from flyte_build.worker.builds.task import build_task_spec
from flyte_build.worker.endpoint.html import Told, index_page, run_page
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.values import Transition

# A whole endpoint for each test: no part of `make check`.
pytestmark = pytest.mark.real


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(ConnectError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.code


def test_the_same_request_sent_twice_begins_one_run(served: Served) -> None:
    first = ask_for_build(served.url, request_id="id-1")
    assert ask_for_build(served.url, request_id="id-1") == first
    assert ask_for_build(served.url, target="demo:2", request_id="id-1") != first


def test_two_runs_that_ask_for_one_image_share_one_build_and_its_end(served: Served, building: Building) -> None:
    began, free = threading.Event(), threading.Event()

    def act(request: object, cancelled: object) -> None:
        began.set()
        assert free.wait(20)

    building.act = act
    first = ask_for_build(served.url)
    assert began.wait(10)
    second = ask_for_build(served.url)
    free.set()
    ends = [wait_for_end(served.url, run) for run in (first, second)]
    assert [end.status.phase for end in ends] == [5, 5]
    assert len(building.requests) == 1
    with DataProxyServiceClientSync(served.url) as client:
        for end in ends:
            data = client.get_action_data(dataproxy_service_pb2.GetActionDataRequest(action_id=end.id))
            assert data.outputs.literals[0].value.scalar.primitive.string_value == REFERENCE
            assert {literal.name for literal in data.inputs.literals} == {"spec", "context", "target_image"}


def test_a_watcher_sees_every_phase(served: Served, building: Building) -> None:
    free = threading.Event()
    building.act = lambda request, cancelled: _wait(free)
    run = ask_for_build(served.url)
    seen = []
    for details in watch(served.url, run):
        seen.append(Phase(details.status.phase).name)
        if seen[-1] == "RUNNING":
            free.set()
    assert seen[-2:] == ["RUNNING", "SUCCEEDED"]
    phases = [Phase(one.phase).name for one in details.attempts[0].phase_transitions]
    assert phases == ["QUEUED", "RUNNING", "SUCCEEDED"]


def _wait(free: threading.Event) -> None:
    assert free.wait(20)


def test_an_aborted_build_stops(served: Served, building: Building) -> None:
    stopped = threading.Event()

    def act(request: object, cancelled: threading.Event) -> None:
        assert cancelled.wait(20)
        stopped.set()
        raise AssertionError("stopped")

    building.act = act
    run = ask_for_build(served.url)
    for details in watch(served.url, run):
        if details.status.phase == Phase.RUNNING:
            with RunServiceClientSync(served.url) as client:
                client.abort_run(run_service_pb2.AbortRunRequest(run_id=run, reason="not needed"))
    assert (details.status.phase, details.abort_info.reason) == (Phase.ABORTED, "not needed")
    assert stopped.wait(10)


@pytest.mark.parametrize("what", ["spec", "context"])
@pytest.mark.parametrize(
    "place",
    [
        pytest.param("file:///etc/passwd", id="a file of the machine"),
        pytest.param("file:///flyte-build/store/uploads/other/development/abc/spec.pb", id="another project's upload"),
        pytest.param("file:///flyte-build/store/../../../etc/passwd", id="a path that leaves the store"),
        pytest.param("https://evil.example/spec.pb", id="a place in the network"),
    ],
)
def test_a_build_is_refused_from(served: Served, what: str, place: str) -> None:
    inputs = texts(**{"spec": upload(served.url, SPEC), "context": "", "target_image": "demo:1", what: place})
    assert code_of(lambda: create_run(served.url, build_task_spec(""), inputs)) is Code.PERMISSION_DENIED
    assert served.building.requests == []


def test_a_build_of_something_that_was_never_uploaded_is_refused_at_once(served: Served) -> None:
    inputs = texts(spec="file:///flyte-build/store/uploads/p/development/abc/spec.pb", target_image="demo:1")
    assert code_of(lambda: create_run(served.url, build_task_spec(""), inputs)) is Code.FAILED_PRECONDITION


def test_a_build_without_its_inputs_is_refused(served: Served) -> None:
    assert code_of(lambda: create_run(served.url, build_task_spec(""), texts(spec="x"))) is Code.INVALID_ARGUMENT


def test_a_run_that_no_container_can_be_is_refused(served: Served) -> None:
    assert code_of(lambda: create_run(served.url, container_task(""), texts())) is Code.INVALID_ARGUMENT
    foreign = container_task("x", "--tgz", "file:///flyte-build/store/uploads/q/development/abc/x")
    assert code_of(lambda: create_run(served.url, foreign, texts())) is Code.PERMISSION_DENIED


def test_inputs_of_another_project_are_refused(served: Served) -> None:
    uri = f"file:///flyte-build/store/inputs/q/development/{'0' * 64}"
    request = run_service_pb2.CreateRunRequest(
        project_id=PROJECT, task_spec=container_task("x"), offloaded_input_data=OffloadedInputData(uri=uri)
    )
    with RunServiceClientSync(served.url) as client:
        assert code_of(lambda: client.create_run(request)) is Code.PERMISSION_DENIED


@pytest.mark.parametrize("project", ["..", "a/b", "", "a b", "x" * 64])
def test_a_project_cannot_be_called(served: Served, project: str) -> None:
    request = dataproxy_service_pb2.CreateUploadLocationRequest(
        project=project, domain="development", content_md5=bytes(16), filename="x"
    )
    with DataProxyServiceClientSync(served.url) as client:
        assert code_of(lambda: client.create_upload_location(request)) is Code.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"content_md5": b"short"}, id="a checksum of another length"),
        pytest.param({"expires_in": Duration(seconds=3601)}, id="more than an hour"),
        pytest.param({"expires_in": Duration(seconds=-1)}, id="an end before its beginning"),
        pytest.param({"filename": "../x"}, id="a name that goes up"),
        pytest.param({"filename_root": ".."}, id="a root that goes up"),
    ],
)
def test_an_upload_is_refused_with(served: Served, change: dict[str, object]) -> None:
    fields = {"project": "p", "domain": "development", "content_md5": bytes(16), "filename": "x", **change}
    with DataProxyServiceClientSync(served.url) as client:
        request = dataproxy_service_pb2.CreateUploadLocationRequest(**fields)
        assert code_of(lambda: client.create_upload_location(request)) is Code.INVALID_ARGUMENT


def test_what_is_not_there_is_not_found(served: Served) -> None:
    run = RunIdentifier(project="p", domain="development", name="nothing")
    task = task_definition_pb2.TaskIdentifier(project="p", domain="development", name="x", version="1")
    with RunServiceClientSync(served.url) as runs, TaskServiceClientSync(served.url) as tasks:
        details = run_service_pb2.GetRunDetailsRequest(run_id=run)
        assert code_of(lambda: runs.get_run_details(details)) is Code.NOT_FOUND
        assert code_of(lambda: list(watch(served.url, run))) is Code.NOT_FOUND
        found = task_service_pb2.GetTaskDetailsRequest(task_id=task)
        assert code_of(lambda: tasks.get_task_details(found)) is Code.NOT_FOUND
    with ImageServiceClientSync(served.url) as images:
        assert code_of(lambda: images.get_image(GetImageRequest(id={"name": "demo:1"}))) is Code.NOT_FOUND


def test_a_name_can_be_chosen_once(served: Served) -> None:
    run = RunIdentifier(project="p", domain="development", name="mine")
    inputs = texts(spec=upload(served.url, SPEC), target_image="demo:1")
    request = run_service_pb2.CreateRunRequest(run_id=run, task_spec=build_task_spec(""), inputs=inputs)
    with RunServiceClientSync(served.url) as client:
        assert client.create_run(request).run.action.id.run.name == "mine"
        assert code_of(lambda: client.create_run(request)) is Code.ALREADY_EXISTS


def test_the_log_of_a_build_is_streamed_while_it_is_written(served: Served, building: Building) -> None:
    free = threading.Event()
    building.lines = ("one", "two \x1b[31mred")
    building.act = lambda request, cancelled: _wait(free)
    run = ask_for_build(served.url)
    request = dataproxy_service_pb2.TailLogsRequest(action_id=ActionIdentifier(run=run, name="a0"), attempt=1)
    lines: list[str] = []
    with DataProxyServiceClientSync(served.url) as client:
        for answer in client.tail_logs(request):
            lines += [line.message for logs in answer.logs for line in logs.lines]
            if len(lines) == 2:
                free.set()
    assert lines == ["one\n", "two red\n"]


def test_a_nested_action_is_refused_in_a_way_that_its_parent_does_not_try_again(served: Served) -> None:
    with ActionsServiceClientSync(served.url) as client:
        assert code_of(lambda: client.enqueue(actions_service_pb2.EnqueueRequest())) is Code.INVALID_ARGUMENT
        updates = client.watch_for_updates(actions_service_pb2.WatchForUpdatesRequest())
        assert next(iter(updates)).control_message.sentinel


def test_a_page_escapes_everything_that_is_not_ours() -> None:
    evil = '<script>alert("x")</script>'
    shown = action(run="r1", error=evil, phase=int(Phase.FAILED), kind="build")
    steps = (Transition(phase=Phase.QUEUED, at=0.0), Transition(phase=Phase.FAILED, at=1.0))
    inputs = texts(**{"n<b>": evil}).SerializeToString()
    step = StepEnded(title=evil, seconds=1.0)
    page = run_page(shown, steps, Told(log=evil, inputs=inputs, steps=(step,)))
    assert "<script>" not in page
    assert page.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") == 4
    assert 'http-equiv="refresh"' not in page
    assert 'http-equiv="refresh"' in run_page(action(phase=int(Phase.RUNNING)), steps, Told())
    shown = action(run="r1", error=f"{evil}\nmore", phase=int(Phase.FAILED), kind="build", build_id="b")
    index = index_page((shown,), {"b": f"{evil.replace('/', '')}:1"})
    assert "/v2/domain/development/project/p/runs/r1" in index
    assert "<script>" not in index
    assert index.count("&lt;script&gt;alert(&quot;x&quot;)") == 2
    assert "more" not in index


def test_pages_name_the_image_or_the_task_of_a_run(served: Served) -> None:
    run = ask_for_build(served.url, target="ghcr.io/acme/train:1")
    wait_for_end(served.url, run)
    place = f"/v2/domain/development/project/p/runs/{run.name}"
    assert f'<a href="{place}">image train</a>' in _page(f"{served.url}/")
    page = _page(f"{served.url}{place}")
    assert "<h1>image train: " in page
    assert f"<th>run</th><td>{run.name}</td>" in page
    task = container_task("python:3.12")
    assert ">t</a>" in index_page((action(task=task.SerializeToString()),), {})


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())
