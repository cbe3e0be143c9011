"""Where uploads go and where bundles come from: `CreateUploadLocation` and `CreateDownloadLink`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from flyteidl2.dataproxy import dataproxy_service_pb2
from flyteidl2.task.task_definition_pb2 import TaskSpec

from flyte_build.bundler.answers import EXISTS_HEADER, PARTS_HEADER
from flyte_build.registry.errors import ServiceDenied
from flyte_build.worker.endpoint.failures import not_found, unimplemented
from flyte_build.worker.endpoint.html_facts import bundle_of
from flyte_build.worker.endpoint.tasks import Tasks
from flyte_build.worker.endpoint.wire import name_of, timestamp
from flyte_build.worker.stores.keys import ObjectKey, key_of_native, md5_place, parse_scope
from flyte_build.worker.stores.store import MAX_JOINED, MAX_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flyteidl2.dataproxy.dataproxy_service_pb2 import (
        CreateDownloadLinkRequest,
        CreateDownloadLinkResponse,
        CreateUploadLocationRequest,
        CreateUploadLocationResponse,
    )

    from flyte_build.worker.endpoint.parts import Parts

_DEFAULT_EXPIRY = 900
_MAX_EXPIRY = 3600
_MAX_PARTS = 1000


def upload_location(
    parts: Parts, request: CreateUploadLocationRequest, said: str | None
) -> CreateUploadLocationResponse:
    """Where to PUT. `said` is our own client's header: how many parts it has brought, to be joined now (or 0).

    INVALID_ARGUMENT without the content's MD5, or for more than an hour, as Flyte's own service answers;
    ALREADY_EXISTS (ServiceConflict) for other content under a name that the client chose.
    """
    seconds = _seconds(request.expires_in.ToSeconds())
    if len(request.content_md5) != 16:
        raise ConnectError(Code.INVALID_ARGUMENT, "an upload needs the 16 bytes of its MD5")
    parse_scope(request.project, "project")
    parse_scope(request.domain, "domain")
    place = request.filename_root or md5_place(request.content_md5)
    key = ObjectKey.upload(request.project, request.domain, place, request.filename)
    size, count = request.content_length, parts_said(said)
    if count:
        _join(parts, key, request.content_md5, count)
    joins = said is not None and 0 < size <= MAX_JOINED
    # What is too large for one PUT may still come in parts; then the URL is good for nothing.
    limit = min(size, MAX_OBJECT) if joins else size
    signed = parts.store.sign_put(key, request.content_md5, seconds=seconds, size=limit)
    marks = {EXISTS_HEADER: "1"} if signed.exists else {}
    return dataproxy_service_pb2.CreateUploadLocationResponse(
        signed_url=signed.url,
        native_url=key.native_url,
        expires_at=timestamp(signed.expires),
        headers={**_as_the_sdk_names_them(signed.headers), **marks, **({PARTS_HEADER: "1"} if joins else {})},
    )


def _as_the_sdk_names_them(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """It adds a `Content-MD5` of its own: by another spelling it would be sent twice, and only one is signed."""
    return {"Content-MD5" if name.lower() == "content-md5" else name: value for name, value in headers}


def parts_said(said: str | None) -> int:
    """The number in the header; 0 for what is none."""
    return int(said) if said and said.isascii() and said.isdigit() and len(said) < 6 else 0


def _join(parts: Parts, key: ObjectKey, md5: bytes, count: int) -> None:
    if count > _MAX_PARTS:
        raise ServiceDenied(f"an upload has at most {_MAX_PARTS} parts")
    names = [ObjectKey.parse(f"{key}.parts/{md5.hex()}/{number:04d}") for number in range(count)]
    parts.store.join(key, md5, names)


def download_link(parts: Parts, request: CreateDownloadLinkRequest) -> CreateDownloadLinkResponse:
    """A signed URL of the code bundle that a task or a run's action was made with; NOT_FOUND when it has none."""
    if request.artifact_type != dataproxy_service_pb2.ARTIFACT_TYPE_CODE_BUNDLE:
        raise unimplemented("keep that kind of artifact")
    if request.WhichOneof("source") == "task_id":
        identifier = request.task_id
        found = Tasks(parts.database).get(identifier)
        spec, project, domain = found.spec if found else None, identifier.project, identifier.domain
    else:
        name = name_of(request.action_attempt_id.action_id)
        action = parts.actions.get(name)
        spec, project, domain = TaskSpec.FromString(action.task) if action else None, name.project, name.domain
    uri = bundle_of(spec) if spec is not None else ""
    if not uri:
        raise not_found("code bundle of that task or action")
    signed = parts.store.sign_get(key_of_native(uri, project, domain), seconds=_seconds(request.expires_in.ToSeconds()))
    return dataproxy_service_pb2.CreateDownloadLinkResponse(
        pre_signed_urls=dataproxy_service_pb2.PreSignedURLs(
            signed_url=[signed.url], expires_at=timestamp(signed.expires)
        )
    )


def _seconds(asked: int) -> int:
    if not 0 <= asked <= _MAX_EXPIRY:
        raise ConnectError(Code.INVALID_ARGUMENT, f"a signed URL expires in at most {_MAX_EXPIRY} s")
    return asked or _DEFAULT_EXPIRY
