"""The attacker with a token of another project."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common.identifier_pb2 import ActionIdentifier, ProjectIdentifier
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.task import task_definition_pb2, task_service_pb2
from flyteidl2.task.task_service_connect import TaskServiceClientSync
from flyteidl2.workflow import run_service_pb2
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from tests.worker.guarded import Guarded
from tests.worker.make import container_task
from tests.worker.sdk import SPEC, texts

from flyte_build.worker.builds.task import build_task_spec

pytestmark = pytest.mark.real


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(ConnectError) as caught:
        call()
    assert "\n" not in caught.value.message
    return caught.value.code


def project(name: str, domain: str = "development") -> ProjectIdentifier:
    return ProjectIdentifier(name=name, domain=domain)


def build_in(guarded: Guarded, who: str, name: str, task: Any = None, target: str = "demo:1") -> Any:
    """A build, asked as the SDK does."""
    headers, content = guarded.header(who), SPEC
    with DataProxyServiceClientSync(guarded.served.url) as data:
        location = data.create_upload_location(
            dataproxy_service_pb2.CreateUploadLocationRequest(
                project=name, domain="development", content_md5=hashlib.md5(content).digest(), filename="spec.pb"
            ),
            headers=headers,
        )
    signed = urlsplit(location.signed_url)
    assert guarded.get(f"{signed.path}?{signed.query}", "PUT", content)[0] == 200, "a signed URL is its own proof"
    request = run_service_pb2.CreateRunRequest(
        project_id=project(name),
        task_spec=task or build_task_spec(""),
        inputs=texts(spec=location.native_url, context="", target_image=target),
    )
    with RunServiceClientSync(guarded.served.url) as runs:
        return runs.create_run(request, headers=headers).run.action.id.run


def test_a_project_is_its_own(guarded: Guarded) -> None:
    """One service, one build of alice's; everything that bob tries with it."""
    url, bob = guarded.served.url, guarded.header("bob")
    run = build_in(guarded, "alice", "p")
    action = ActionIdentifier(run=run, name="a0")
    with (
        RunServiceClientSync(url) as runs,
        DataProxyServiceClientSync(url) as data,
        TaskServiceClientSync(url) as tasks,
    ):
        details = run_service_pb2.GetRunDetailsRequest(run_id=run)
        alice = guarded.header("alice")
        assert runs.get_run_details(details, headers=alice).details.action.id.run == run
        asked = run_service_pb2.GetActionDetailsRequest(action_id=action)
        assert runs.get_action_details(asked, headers=alice).details.id.run == run, "what is refused to bob is there"
        mine = run_service_pb2.ListRunsRequest(project_id=project("q"))
        assert list(runs.list_runs(mine, headers=bob).runs) == []
        task = task_definition_pb2.TaskIdentifier(project="q", domain="development", name="x", version="1")
        by_task = run_service_pb2.ListRunsRequest(task_id=task)
        assert list(runs.list_runs(by_task, headers=bob).runs) == [], "no project at all is not all projects"
        assert len(runs.list_runs(by_task, headers={"authorization": f"Bearer {guarded.everything}"}).runs) == 1
        foreign = task_definition_pb2.TaskIdentifier(project="p", domain="development", name="x", version="1")
        builtin = task_definition_pb2.TaskIdentifier(
            project="system", domain="production", name="build-image", version="1"
        )
        md5, upload = bytes(16), dataproxy_service_pb2.CreateUploadLocationRequest
        refused: dict[str, Callable[[], object]] = {
            "details": lambda: runs.get_run_details(details, headers=bob),
            "action": lambda: runs.get_action_details(
                run_service_pb2.GetActionDetailsRequest(action_id=action), headers=bob
            ),
            "watch": lambda: list(
                runs.watch_action_details(run_service_pb2.WatchActionDetailsRequest(action_id=action), headers=bob)
            ),
            "logs": lambda: list(
                data.tail_logs(dataproxy_service_pb2.TailLogsRequest(action_id=action, attempt=1), headers=bob)
            ),
            "outputs": lambda: data.get_action_data(
                dataproxy_service_pb2.GetActionDataRequest(action_id=action), headers=bob
            ),
            "abort": lambda: runs.abort_run(run_service_pb2.AbortRunRequest(run_id=run), headers=bob),
            "list": lambda: runs.list_runs(run_service_pb2.ListRunsRequest(project_id=project("p")), headers=bob),
            "list of nothing": lambda: runs.list_runs(run_service_pb2.ListRunsRequest(), headers=bob),
            "list of an empty project": lambda: runs.list_runs(
                run_service_pb2.ListRunsRequest(project_id=ProjectIdentifier()), headers=bob
            ),
            "upload": lambda: data.create_upload_location(
                upload(project="p", domain="development", content_md5=md5, filename="x"), headers=bob
            ),
            "upload to nobody": lambda: data.create_upload_location(
                upload(domain="development", content_md5=md5, filename="x"), headers=bob
            ),
            "inputs": lambda: data.upload_inputs(
                dataproxy_service_pb2.UploadInputsRequest(project_id=project("p")), headers=bob
            ),
            "build": lambda: runs.create_run(
                run_service_pb2.CreateRunRequest(project_id=project("p"), task_id=builtin), headers=bob
            ),
            "build into another's place": lambda: build_in(
                guarded, "bob", "q", target="127.0.0.1:5000/images/p/demo:1"
            ),
            "build in another domain": lambda: runs.create_run(
                run_service_pb2.CreateRunRequest(project_id=project("p", "production"), task_id=builtin),
                headers=guarded.header("alice"),
            ),
            "build in the project of the build task": lambda: runs.create_run(
                run_service_pb2.CreateRunRequest(project_id=project("system", "production"), task_id=builtin),
                headers=bob,
            ),
            "a run of another's task": lambda: runs.create_run(
                run_service_pb2.CreateRunRequest(project_id=project("q"), task_id=foreign), headers=bob
            ),
            "another's task": lambda: tasks.get_task_details(
                task_service_pb2.GetTaskDetailsRequest(task_id=foreign), headers=bob
            ),
            "deploying another's task": lambda: tasks.deploy_task(
                task_service_pb2.DeployTaskRequest(task_id=foreign, spec=container_task("x")), headers=bob
            ),
            "deploying the build task": lambda: tasks.deploy_task(
                task_service_pb2.DeployTaskRequest(task_id=builtin, spec=container_task("x")), headers=bob
            ),
        }
        answered = {name: code_of(call) for name, call in refused.items()}
        assert set(answered.values()) == {Code.PERMISSION_DENIED}, answered
        shown = task_service_pb2.GetTaskDetailsRequest(task_id=builtin)
        assert tasks.get_task_details(shown, headers=bob).details.task_id.name == "build-image"
        listed = task_service_pb2.ListTasksRequest(project_id=project("system", "production"))
        assert len(tasks.list_tasks(listed, headers=bob).tasks) == 1
    _pages(guarded, run.name)


def _pages(guarded: Guarded, run: str) -> None:
    page, alice, bob = f"/v2/domain/development/project/p/runs/{run}", guarded.header("alice"), guarded.header("bob")
    assert guarded.get(page, **alice)[0] == 200
    for path in (page, f"{page}/log", f"{page}%0a", f"/v2/domain/development/project/q%2f..%2fp/runs/{run}"):
        status, text, _ = guarded.get(path, **bob)
        assert status in (403, 404), path
        assert "resolving" not in text
    assert run in guarded.get("/", **alice)[1]
    assert run not in guarded.get("/", **bob)[1]
    (build,) = json.loads(guarded.get("/api/v1/builds", **alice)[1])["builds"]
    assert json.loads(guarded.get("/api/v1/builds?project=p", **bob)[1])["builds"] == []
    for path, method in ((f"{build['id']}", "GET"), (f"{build['id']}/log", "GET"), (f"{build['id']}/cancel", "POST")):
        assert guarded.get(f"/api/v1/builds/{path}", method, **bob)[0] == 404


def test_names_of_projects_in_a_path_are_compared_as_they_are_routed(guarded: Guarded) -> None:
    for name in ("q/../p", "p\n", "%70", "P"):
        path = f"/v2/domain/development/project/{quote(name, safe='')}/runs/r"
        assert guarded.get(path, **guarded.header("bob"))[0] in (403, 404)
