"""The wire as the SDK uses it, for tests that need one call and not a whole program."""

from __future__ import annotations

import hashlib
import http.client
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

from flyteidl2.common.identifier_pb2 import ActionIdentifier, ProjectIdentifier, RunIdentifier
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceClientSync
from flyteidl2.dataproxy.dataproxy_service_pb2 import CreateUploadLocationRequest, UploadInputsRequest
from flyteidl2.imagebuilder.definition_pb2 import ImageSpec
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from flyteidl2.workflow.run_service_connect import RunServiceClientSync
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest, WatchActionDetailsRequest

from flyte_build.worker.builds.task import build_task_spec

SPEC: bytes = ImageSpec(base_image="registry.test/base:1").SerializeToString()
PROJECT = ProjectIdentifier(name="p", domain="development")


def upload(url: str, content: bytes, name: str = "spec.pb", project: str = "p") -> str:
    """Uploads as the SDK does; returns the native URL."""
    request = CreateUploadLocationRequest(
        project=project, domain="development", content_md5=hashlib.md5(content).digest(), filename=name
    )
    with DataProxyServiceClientSync(url) as client:
        location = client.create_upload_location(request)
    split = urlsplit(location.signed_url)
    connection = http.client.HTTPConnection(split.netloc, timeout=10)
    try:
        connection.request("PUT", f"{split.path}?{split.query}", content)
        assert connection.getresponse().status == 200
    finally:
        connection.close()
    return str(location.native_url)


def texts(**values: str) -> Inputs:
    """Inputs of the string type."""
    literals = {name: {"scalar": {"primitive": {"string_value": value}}} for name, value in values.items()}
    return Inputs(literals=[{"name": name, "value": literal} for name, literal in literals.items()])


def create_run(
    url: str, task: TaskSpec, inputs: Inputs, request_id: str = "", project: str = "p", **fields: object
) -> RunIdentifier:
    """Begins a run."""
    where = ProjectIdentifier(name=project, domain="development")
    with DataProxyServiceClientSync(url) as client:
        offloaded = client.upload_inputs(UploadInputsRequest(project_id=where, inputs=inputs)).offloaded_input_data
    request = CreateRunRequest(project_id=where, task_spec=task, offloaded_input_data=offloaded, **fields)
    with RunServiceClientSync(url) as client:
        answer = client.create_run(request, headers={"x-request-id": request_id or str(uuid.uuid4())})
    run: RunIdentifier = answer.run.action.id.run
    return run


def ask_for_build(
    url: str, spec: bytes = SPEC, target: str = "demo:1", request_id: str = "", project: str = "p"
) -> RunIdentifier:
    """Asks for a build as the SDK does: the task by value."""
    inputs = texts(spec=upload(url, spec, project=project), context="", target_image=target)
    return create_run(url, build_task_spec(""), inputs, request_id, project)


def watch(url: str, run: RunIdentifier) -> Iterator[ActionDetails]:
    """Every update of a run's root action."""
    with RunServiceClientSync(url) as client:
        request = WatchActionDetailsRequest(action_id=ActionIdentifier(run=run, name="a0"))
        for answer in client.watch_action_details(request):
            yield answer.details


def wait_for_end(url: str, run: RunIdentifier) -> ActionDetails:
    """The run's root action when it has ended."""
    return list(watch(url, run))[-1]
