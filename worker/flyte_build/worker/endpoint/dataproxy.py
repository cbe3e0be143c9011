"""DataProxyService: where to upload, inputs that are too large to pass around, results, and logs."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.common import run_pb2
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.dataproxy.dataproxy_service_connect import DataProxyService
from flyteidl2.logs.dataplane import payload_pb2
from flyteidl2.task.common_pb2 import Inputs, Outputs

from flyte_build.bundler.answers import PARTS_HEADER
from flyte_build.worker.endpoint.failures import not_found
from flyte_build.worker.endpoint.inputs import MAX_INPUTS, inputs_key, offloaded_uri
from flyte_build.worker.endpoint.locations import download_link, upload_location
from flyte_build.worker.endpoint.wire import name_of, timestamp
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.stores.keys import ObjectKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from flyte_build.worker.endpoint.failures import Context
    from flyte_build.worker.endpoint.parts import Parts
    from flyte_build.worker.runs.values import Action, ActionName
    from flyte_build.worker.stores.logs import Portion

_POLL_SECONDS = 0.5


class DataProxyRpc(DataProxyService):  # type: ignore[misc]
    """The RPCs that carry data, or say where data goes."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def create_upload_location(
        self, request: dataproxy_service_pb2.CreateUploadLocationRequest, ctx: Context
    ) -> dataproxy_service_pb2.CreateUploadLocationResponse:
        """Where to PUT; see `upload_location`."""
        said = ctx.request_headers().get(PARTS_HEADER)
        return await asyncio.to_thread(upload_location, self._parts, request, said)

    async def create_download_link(
        self, request: dataproxy_service_pb2.CreateDownloadLinkRequest, ctx: Context
    ) -> dataproxy_service_pb2.CreateDownloadLinkResponse:
        """Where to GET a code bundle; see `download_link`."""
        del ctx
        return await asyncio.to_thread(download_link, self._parts, request)

    async def upload_inputs(
        self, request: dataproxy_service_pb2.UploadInputsRequest, ctx: Context
    ) -> dataproxy_service_pb2.UploadInputsResponse:
        """Keeps inputs in the store; what comes back names them in CreateRun."""
        del ctx
        by_run = request.WhichOneof("id") == "run_id"
        project = request.run_id.project if by_run else request.project_id.name
        domain = request.run_id.domain if by_run else request.project_id.domain
        data = request.inputs.SerializeToString(deterministic=True)
        if len(data) > MAX_INPUTS:
            raise ConnectError(Code.INVALID_ARGUMENT, f"inputs have at most {MAX_INPUTS} bytes; upload files instead")
        key = inputs_key(data, project, domain)
        await asyncio.to_thread(self._parts.store.write, key, data)
        digest = hashlib.sha256(data).hexdigest()
        return dataproxy_service_pb2.UploadInputsResponse(
            offloaded_input_data=run_pb2.OffloadedInputData(uri=offloaded_uri(key), inputs_hash=digest)
        )

    async def get_action_data(
        self, request: dataproxy_service_pb2.GetActionDataRequest, ctx: Context
    ) -> dataproxy_service_pb2.GetActionDataResponse:
        """The inputs of an action, and its outputs once it succeeded."""
        del ctx
        return await asyncio.to_thread(self._data, request)

    def _data(self, request: dataproxy_service_pb2.GetActionDataRequest) -> dataproxy_service_pb2.GetActionDataResponse:
        action = self._parts.actions.get(name_of(request.action_id))
        if action is None:
            raise not_found(f"run {request.action_id.run.name}")
        key = ObjectKey.parse(action.inputs_object)
        return dataproxy_service_pb2.GetActionDataResponse(
            inputs=Inputs.FromString(self._parts.store.read(key, MAX_INPUTS)),
            outputs=Outputs.FromString(action.outputs),
            inputs_uri=offloaded_uri(key),
        )

    async def tail_logs(
        self, request: dataproxy_service_pb2.TailLogsRequest, ctx: Context
    ) -> AsyncIterator[dataproxy_service_pb2.TailLogsResponse]:
        """The log of an action from its first line, until the action has ended and all was sent."""
        del ctx
        name, position = name_of(request.action_id), 0
        log = self._parts.log_of(await asyncio.to_thread(self._action, name))
        with self._parts.bell.listen(*filter(None, (str(name), log.bell))) as listener:
            while not self._parts.stopping.is_set():
                action = await asyncio.to_thread(self._action, name)
                while (portion := await asyncio.to_thread(log.read, position)).position != position:
                    position = portion.position
                    yield _lines(portion)
                if Phase(action.phase).terminal:
                    return
                await listener.wait(_POLL_SECONDS)

    def _action(self, name: ActionName) -> Action:
        action = self._parts.actions.get(name)
        if action is None:
            raise not_found(f"run {name.run}")
        return action


def _lines(portion: Portion) -> dataproxy_service_pb2.TailLogsResponse:
    whose = payload_pb2.LogLineOriginator
    lines = [
        payload_pb2.LogLine(
            message=f"{line.text}\n",
            originator=whose.SYSTEM if line.ours else whose.USER,
            timestamp=None if line.at is None else timestamp(line.at),
        )
        for line in portion.lines
    ]
    return dataproxy_service_pb2.TailLogsResponse(logs=[dataproxy_service_pb2.TailLogsResponse.Logs(lines=lines)])
