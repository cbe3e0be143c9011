"""Registering the task: checked against the rules that Flyte publishes with its messages, then put there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from flyteidl2.project import project_service_pb2
from flyteidl2.task import task_service_pb2

from flyte_build.registry.errors import InvalidInput
from flyte_build.worker.builds.task import PROJECT, VERSION
from flyte_build.worker.client.connect import CallRefused

if TYPE_CHECKING:
    from flyteidl2.task.task_service_pb2 import DeployTaskRequest
    from protovalidate import Violation

    from flyte_build.bundler.endpoint import Endpoint
    from flyte_build.worker.client.connect import Connect

_TASKS = "flyteidl2.task.TaskService"
_PROJECTS = "flyteidl2.project.ProjectService"
Status = Literal["registered", "there already", "built in"]


def checked(request: DeployTaskRequest) -> DeployTaskRequest:
    """The same request. InvalidInput for what Flyte's own rules (protovalidate) refuse.

    They want an organization, which Flyte without organizations does not have; the SDK sends none there either.
    """
    # Its rules are compiled when it is loaded, which takes half a second.
    import protovalidate
    from flyteidl2.task.task_service_pb2 import DeployTaskRequest as Deploy

    judged = Deploy.FromString(request.SerializeToString())
    for name in (judged.task_id, judged.spec.task_template.id):
        name.org = name.org or "none"
    try:
        protovalidate.validate(judged)
    except protovalidate.ValidationError as error:
        said = "; ".join(map(_said, error.violations))
        raise InvalidInput(f"the task is not one that Flyte takes: {said}") from error
    return request


def _said(violation: Violation) -> str:
    field = violation.proto.field
    where = ".".join(part.field_name for part in field.elements) if field else "it"
    return f"{where}: {violation.proto.message}"


def org_of(endpoint: Endpoint) -> str:
    """The organization that Flyte's SDK believes to be at an endpoint: the first label of a name of three or more."""
    labels = urlsplit(endpoint.url).netloc.split(".")
    return labels[0] if len(labels) > 2 else ""


def put(endpoint: Connect, request: DeployTaskRequest) -> Status:
    """Registers it, and the project that it belongs to where that is missing.

    `there already` when this very task is; `built in` at an endpoint of ours that answers without a task.
    """
    try:
        return _deploy(endpoint, request)
    except CallRefused as refused:
        if refused.code not in ("not_found", "failed_precondition", "invalid_argument"):
            raise
        if not _made_project(endpoint, request.task_id.org):
            raise
    return _deploy(endpoint, request)


def _deploy(endpoint: Connect, request: DeployTaskRequest) -> Status:
    try:
        endpoint.call(f"{_TASKS}/DeployTask", request, task_service_pb2.DeployTaskResponse)
    except CallRefused as refused:
        if refused.code != "already_exists":
            raise
        return "there already" if _has(endpoint, request) else "built in"
    return "registered"


def _has(endpoint: Connect, request: DeployTaskRequest) -> bool:
    """Whether it is there; an endpoint that builds by itself refuses the name and has one version of its own."""
    asked = task_service_pb2.GetTaskDetailsRequest(task_id=request.task_id)
    try:
        endpoint.call(f"{_TASKS}/GetTaskDetails", asked, task_service_pb2.GetTaskDetailsResponse)
    except CallRefused:
        asked.task_id.version = VERSION
        endpoint.call(f"{_TASKS}/GetTaskDetails", asked, task_service_pb2.GetTaskDetailsResponse)
        return False
    return True


def _made_project(endpoint: Connect, org: str) -> bool:
    project = project_service_pb2.Project(id=PROJECT, name=PROJECT, org=org, description="Flyte's own tasks")
    request = project_service_pb2.CreateProjectRequest(project=project)
    try:
        endpoint.call(f"{_PROJECTS}/CreateProject", request, project_service_pb2.CreateProjectResponse)
    except CallRefused:
        return False
    return True
