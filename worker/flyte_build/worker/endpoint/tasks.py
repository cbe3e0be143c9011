"""TaskService: deployed tasks, and the `build-image` task that is there without being deployed."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import list_pb2
from flyteidl2.task import task_definition_pb2, task_service_pb2
from flyteidl2.task.task_service_connect import TaskService
from sqlalchemy import select

from flyte_build.worker.builds.task import (
    DOMAIN,
    NAME,
    PROJECT,
    VERSION,
    build_task_id,
    build_task_spec,
    is_build_task,
)
from flyte_build.worker.database.schema import TaskRow
from flyte_build.worker.endpoint.failures import not_found
from flyte_build.worker.endpoint.wire import timestamp
from flyte_build.worker.stores.keys import parse_scope

if TYPE_CHECKING:
    from flyteidl2.task.task_definition_pb2 import TaskIdentifier

    from flyte_build.worker.builds.task import Named
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.endpoint.failures import Context

_MAX_NAME = 255
_MAX_LIST = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A task under its name and version; `created_at` in seconds since 1970."""

    project: str
    domain: str
    name: str
    version: str
    spec: task_definition_pb2.TaskSpec
    created_at: float


BUILT_IN = Deployed(
    project=PROJECT, domain=DOMAIN, name=NAME, version=VERSION, spec=build_task_spec(""), created_at=0.0
)


class Tasks:
    """Deployed tasks in the database. With `built_in`, `build-image` is there and nobody can change it."""

    def __init__(self, database: Database, *, built_in: bool = True) -> None:
        self._database = database
        self._built_in = built_in

    def builds(self, identifier: Named) -> bool:
        """Whether this is the name of the task that this endpoint answers itself."""
        return self._built_in and is_build_task(identifier.project, identifier.domain, identifier.name)

    def deploy(self, identifier: TaskIdentifier, spec: task_definition_pb2.TaskSpec) -> bool:
        """Keeps a task; False when there is one of this name and version already."""
        key = _key(identifier)
        parse_scope(identifier.project, "project")
        parse_scope(identifier.domain, "domain")
        with self._database.write() as session:
            if session.scalars(select(TaskRow.id).filter_by(**key)).first() is not None:
                return False
            session.add(TaskRow(**key, spec=spec.SerializeToString(), created_at=time.time()))
        return True

    def get(self, identifier: TaskIdentifier) -> Deployed | None:
        """The task of this name and version."""
        with self._database.read() as session:
            row = session.scalars(select(TaskRow).filter_by(**_key(identifier))).one_or_none()
            return None if row is None else _deployed(row)

    def latest(self, project: str, domain: str, names: tuple[str, ...], page: slice) -> tuple[Deployed, ...]:
        """Tasks of a project, of these names (all, if empty), the newest first."""
        query = select(TaskRow).filter_by(project=project, domain=domain).order_by(TaskRow.id.desc())
        if names:
            query = query.where(TaskRow.name.in_(names))
        with self._database.read() as session:
            return tuple(
                _deployed(row) for row in session.scalars(query.offset(page.start).limit(page.stop - page.start))
            )


def _key(identifier: TaskIdentifier) -> dict[str, str]:
    return {
        "project": identifier.project,
        "domain": identifier.domain,
        "name": identifier.name,
        "version": identifier.version,
    }


def _deployed(row: TaskRow) -> Deployed:
    return Deployed(
        project=row.project,
        domain=row.domain,
        name=row.name,
        version=row.version,
        spec=task_definition_pb2.TaskSpec.FromString(row.spec),
        created_at=row.created_at,
    )


class TaskRpc(TaskService):  # type: ignore[misc]
    """The RPCs that an SDK uses to deploy tasks and to find them again."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def deploy_task(
        self, request: task_service_pb2.DeployTaskRequest, ctx: Context
    ) -> task_service_pb2.DeployTaskResponse:
        """ALREADY_EXISTS for a version that is there, which clients take for success."""
        del ctx
        identifier = request.task_id
        if (
            not identifier.name
            or not identifier.version
            or max(len(identifier.name), len(identifier.version)) > _MAX_NAME
        ):
            raise ConnectError(
                Code.INVALID_ARGUMENT, f"a task needs a name and a version of at most {_MAX_NAME} letters"
            )
        if self._tasks.builds(identifier) or not await asyncio.to_thread(self._tasks.deploy, identifier, request.spec):
            raise ConnectError(Code.ALREADY_EXISTS, f"the task {identifier.name}@{identifier.version} is there already")
        return task_service_pb2.DeployTaskResponse()

    async def get_task_details(
        self, request: task_service_pb2.GetTaskDetailsRequest, ctx: Context
    ) -> task_service_pb2.GetTaskDetailsResponse:
        """NOT_FOUND for a task or version that was never deployed."""
        del ctx
        identifier = request.task_id
        if self._tasks.builds(identifier) and identifier.version == VERSION:
            details = task_definition_pb2.TaskDetails(
                task_id=build_task_id(identifier.org),
                metadata=task_definition_pb2.TaskMetadata(short_name=NAME),
                spec=build_task_spec(identifier.org),
            )
            return task_service_pb2.GetTaskDetailsResponse(details=details)
        found = await asyncio.to_thread(self._tasks.get, identifier)
        if found is None:
            raise not_found(f"task {identifier.project}/{identifier.domain}/{identifier.name}@{identifier.version}")
        listed = _listed(found, identifier.org)
        return task_service_pb2.GetTaskDetailsResponse(
            details=task_definition_pb2.TaskDetails(task_id=listed.task_id, metadata=listed.metadata, spec=found.spec)
        )

    async def list_tasks(
        self, request: task_service_pb2.ListTasksRequest, ctx: Context
    ) -> task_service_pb2.ListTasksResponse:
        """The newest first; filters by name (EQUAL, VALUE_IN) are honoured."""
        del ctx
        project, asked = request.project_id, request.request
        names = tuple(value for one in asked.filters if one.field == "name" for value in one.values)
        system = (project.name, project.domain) == (PROJECT, DOMAIN) and (not names or NAME in names)
        if system and self._tasks.builds(BUILT_IN):
            task = task_definition_pb2.Task(task_id=build_task_id(project.organization))
            return task_service_pb2.ListTasksResponse(tasks=[task])
        page = _page(asked)
        found = await asyncio.to_thread(self._tasks.latest, project.name, project.domain, names, page)
        token = str(page.stop) if len(found) == page.stop - page.start else ""
        tasks = [_listed(one, project.organization) for one in found]
        return task_service_pb2.ListTasksResponse(tasks=tasks, token=token)


def _page(asked: list_pb2.ListRequest) -> slice:
    start = int(asked.token) if asked.token.isascii() and asked.token.isdigit() and len(asked.token) < 10 else 0
    return slice(start, start + min(asked.limit or 100, _MAX_LIST))


def _listed(task: Deployed, org: str) -> task_definition_pb2.Task:
    identifier = task_definition_pb2.TaskIdentifier(
        org=org, project=task.project, domain=task.domain, name=task.name, version=task.version
    )
    metadata = task_definition_pb2.TaskMetadata(
        short_name=task.spec.short_name,
        environment_name=task.spec.environment.name,
        deployed_at=timestamp(task.created_at),
    )
    return task_definition_pb2.Task(task_id=identifier, metadata=metadata)
