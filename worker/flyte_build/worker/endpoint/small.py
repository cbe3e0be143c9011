"""The services that this endpoint answers with hardly more than a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.actions import actions_service_pb2
from flyteidl2.actions.actions_service_connect import ActionsService
from flyteidl2.cluster import payload_pb2 as cluster_pb2
from flyteidl2.cluster.service_connect import ClusterService
from flyteidl2.workflow import state_service_pb2

from flyte_build.worker.endpoint.failures import unimplemented
from flyte_build.worker.runs.launch import NESTED_REFUSAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flyte_build.worker.endpoint.failures import Context
    from flyte_build.worker.endpoint.parts import Parts

_REPEAT_SECONDS = 10.0


class ClusterRpc(ClusterService):  # type: ignore[misc]
    """Which cluster: this one."""

    async def select_cluster(
        self, request: cluster_pb2.SelectClusterRequest, ctx: Context
    ) -> cluster_pb2.SelectClusterResponse:
        """An empty answer means the endpoint that was asked."""
        del ctx
        if request.operation == cluster_pb2.SelectClusterRequest.OPERATION_UPLOAD_TRIGGER:
            raise unimplemented("keep triggers")
        return cluster_pb2.SelectClusterResponse()


class ActionsRpc(ActionsService):  # type: ignore[misc]
    """Nested actions, which fail at once: one run is one action here."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def enqueue(
        self, request: actions_service_pb2.EnqueueRequest, ctx: Context
    ) -> actions_service_pb2.EnqueueResponse:
        """INVALID_ARGUMENT, which a parent does not try again."""
        del request, ctx
        raise ConnectError(Code.INVALID_ARGUMENT, NESTED_REFUSAL)

    async def watch_for_updates(
        self, request: actions_service_pb2.WatchForUpdatesRequest, ctx: Context
    ) -> AsyncIterator[actions_service_pb2.WatchForUpdatesResponse]:
        """Says that there are no children, and stays: a parent whose stream ends begins to worry."""
        del request, ctx
        with self._parts.bell.listen("stopping") as listener:
            while not self._parts.stopping.is_set():
                yield actions_service_pb2.WatchForUpdatesResponse(
                    control_message=state_service_pb2.ControlMessage(sentinel=True)
                )
                await listener.wait(_REPEAT_SECONDS)
