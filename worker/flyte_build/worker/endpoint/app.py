"""The endpoint as one ASGI application: Flyte's RPCs, signed uploads, pages; behind the guards."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flyteidl2.actions import actions_service_pb2
from flyteidl2.actions.actions_service_connect import ActionsServiceASGIApplication
from flyteidl2.auth import auth_service_pb2
from flyteidl2.auth.auth_service_connect import AuthMetadataServiceASGIApplication
from flyteidl2.cluster import service_pb2 as cluster_service_pb2
from flyteidl2.cluster.service_connect import ClusterServiceASGIApplication
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyServiceASGIApplication
from flyteidl2.imagebuilder import service_pb2 as image_service_pb2
from flyteidl2.imagebuilder.service_connect import ImageServiceASGIApplication
from flyteidl2.task import task_service_pb2
from flyteidl2.task.task_service_connect import TaskServiceASGIApplication
from flyteidl2.workflow import run_service_pb2
from flyteidl2.workflow.run_service_connect import RunServiceASGIApplication
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.worker.endpoint.authorize import Authorizing
from flyte_build.worker.endpoint.builds import BuildsApi
from flyte_build.worker.endpoint.callers import Known
from flyte_build.worker.endpoint.creation import Creation
from flyte_build.worker.endpoint.dataproxy import DataProxyRpc
from flyte_build.worker.endpoint.failures import Translating
from flyte_build.worker.endpoint.guards import Guarded, Names
from flyte_build.worker.endpoint.image_service import ImageRpc
from flyte_build.worker.endpoint.login import AuthRpc, LoginPages
from flyte_build.worker.endpoint.messages import Bounded, inputs_of
from flyte_build.worker.endpoint.pages import Pages
from flyte_build.worker.endpoint.plans import PlansApi
from flyte_build.worker.endpoint.runs import RunRpc
from flyte_build.worker.endpoint.service_api import ServiceApi
from flyte_build.worker.endpoint.small import ActionsRpc, ClusterRpc
from flyte_build.worker.endpoint.tasks import TaskRpc, Tasks
from flyte_build.worker.endpoint.tracing import Tracing
from flyte_build.worker.endpoint.uploads import Uploads
from flyte_build.worker.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flyte_build.worker.endpoint.parts import Parts
    from flyte_build.worker.stores.store import Store

STORE_PATH = "/store"
_RPC = "/flyteidl2."
_FILES = (
    auth_service_pb2.DESCRIPTOR,
    actions_service_pb2.DESCRIPTOR,
    cluster_service_pb2.DESCRIPTOR,
    dataproxy_service_pb2.DESCRIPTOR,
    image_service_pb2.DESCRIPTOR,
    run_service_pb2.DESCRIPTOR,
    task_service_pb2.DESCRIPTOR,
)

_log = logging.getLogger(__name__)


def application(parts: Parts, names: Names) -> ASGIApp:
    """Everything that this endpoint answers."""
    routes = [
        *Pages(parts).routes(),
        *BuildsApi(parts).routes(),
        *PlansApi(parts).routes(),
        *ServiceApi(parts).routes(),
        *_store_routes(parts.store),
    ]
    routes += LoginPages(parts.gate, secure=names.secure).routes() if parts.gate.guarded else []
    told = ExceptionMiddleware(Router(routes), handlers={FlyteBuildError: _told})
    split = _Split(Bounded(_Services(_services(parts)), inputs_of(_FILES)), told)
    return Guarded(Known(split, parts.gate), names, any_host=parts.gate.guarded)


async def _told(_: Request, error: Exception) -> Response:
    """A sentence for what a page or document could not be made of, like a database that is away."""
    sentence = error.sentence if isinstance(error, FlyteBuildError) else "it broke"
    status = 503 if isinstance(error, FlyteBuildError) and error.transient else 500
    _log.warning("not answered: %s", sentence)
    return JSONResponse({"version": 1, "error": sentence}, status_code=status)


def _store_routes(store: Store) -> list[Route]:
    """A store in somebody's cloud answers its signed URLs itself."""
    if not isinstance(store, LocalStore):
        return []
    uploads, path = Uploads(store), f"{STORE_PATH}/{{key:path}}"
    return [Route(path, uploads.put, methods=["PUT"]), Route(path, uploads.get, methods=["GET"])]


def _services(parts: Parts) -> Mapping[str, ASGIApp]:
    tasks = Tasks(parts.database, built_in=parts.built_in)
    translating = (Tracing(parts.operating.traces), Translating(), Authorizing())
    services = (
        AuthMetadataServiceASGIApplication(AuthRpc(parts.gate), interceptors=translating),
        ActionsServiceASGIApplication(ActionsRpc(parts), interceptors=translating),
        ClusterServiceASGIApplication(ClusterRpc(), interceptors=translating),
        DataProxyServiceASGIApplication(DataProxyRpc(parts), interceptors=translating),
        ImageServiceASGIApplication(ImageRpc(parts), interceptors=translating),
        RunServiceASGIApplication(RunRpc(parts, Creation(parts=parts, tasks=tasks)), interceptors=translating),
        TaskServiceASGIApplication(TaskRpc(tasks), interceptors=translating),
    )
    return {service.path: service for service in services}


class _Services:
    """ASGI: each request to the service that its path names (`Bounded` let only known ones pass)."""

    def __init__(self, services: Mapping[str, ASGIApp]) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._services[scope["path"].rpartition("/")[0]](scope, receive, send)


class _Split:
    """ASGI: RPCs one way, all else the other."""

    def __init__(self, rpc: ASGIApp, other: ASGIApp) -> None:
        self._rpc = rpc
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_rpc = scope["type"] == "http" and scope["path"].startswith(_RPC)
        await (self._rpc if is_rpc else self._other)(scope, receive, send)
