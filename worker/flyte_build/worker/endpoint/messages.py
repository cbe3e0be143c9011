"""Requests, read with bounds before anybody decodes them.

connectrpc looks at the size only after decompressing, so a small body could take all memory, and it answers bytes that
are no message with an internal error. Everything is therefore read, decompressed and checked here first, and handed on
uncompressed. Source: the Connect protocol specification, "Unary-Request" and "Enveloped-Message".
"""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf import json_format, message_factory
from google.protobuf.message import DecodeError

from flyte_build.worker.endpoint.refusals import refuse_rpc

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.descriptor import FileDescriptor
    from google.protobuf.message import Message
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.types import Message as Event

MAX_COMPRESSED = 16 * 2**20
MAX_MESSAGE = 48 * 2**20
_UNARY = {"application/proto": "proto", "application/json": "json"}
_STREAM = {"application/connect+proto": "proto", "application/connect+json": "json"}


@dataclass(frozen=True, slots=True)
class _RefusedError(Exception):
    code: str
    sentence: str


def inputs_of(files: Iterable[FileDescriptor]) -> Mapping[str, type[Message]]:
    """The message that each method of the services in `files` takes, by path (`/package.Service/Method`)."""
    return {
        f"/{service.full_name}/{method.name}": message_factory.GetMessageClass(method.input_type)
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }


class Bounded:
    """ASGI: gives `app` only requests that are a message of their method, uncompressed and within bounds."""

    def __init__(self, app: ASGIApp, inputs: Mapping[str, type[Message]]) -> None:
        self._app = app
        self._inputs = inputs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers itself when the request is refused."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            message = self._message(scope, kind)
            body = await asyncio.to_thread(_checked, await _read(receive), kind, headers, message)
        except _RefusedError as refused:
            await refuse_rpc(send, refused.code, refused.sentence, stream=kind in _STREAM)
            return
        drop = {b"content-encoding", b"content-length", b"transfer-encoding"}
        kept = [(name, value) for name, value in scope["headers"] if name.lower() not in drop]
        length = (b"content-length", str(len(body)).encode())
        await self._app({**scope, "headers": [*kept, length]}, _replay(body, receive), send)

    def _message(self, scope: Scope, kind: str) -> type[Message]:
        message = self._inputs.get(scope["path"])
        if message is None or scope["method"] != "POST" or kind not in (*_UNARY, *_STREAM):
            raise _RefusedError("unimplemented", "this endpoint has no such method in this protocol")
        return message


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        event = await receive()
        if event["type"] != "http.request":
            raise _RefusedError("invalid_argument", "the request ended before its body did")
        body += event.get("body", b"")
        if len(body) > MAX_COMPRESSED:
            raise _RefusedError("resource_exhausted", f"a request has at most {MAX_COMPRESSED} bytes")
        if not event.get("more_body", False):
            return bytes(body)


def _checked(body: bytes, kind: str, headers: Mapping[str, str], message: type[Message]) -> bytes:
    if kind in _UNARY:
        plain = _plain(body, headers.get("content-encoding", "identity"))
        _decode(plain, _UNARY[kind], message)
        return plain
    if len(body) < 5 or len(body) != 5 + int.from_bytes(body[1:5], "big") or body[0] > 1:
        raise _RefusedError("invalid_argument", "the request is not one enveloped message")
    encoding = headers.get("connect-content-encoding", "identity") if body[0] == 1 else "identity"
    plain = _plain(body[5:], encoding)
    _decode(plain, _STREAM[kind], message)
    return b"\x00" + len(plain).to_bytes(4, "big") + plain


def _plain(data: bytes, encoding: str) -> bytes:
    if encoding.lower() == "identity" or not data:
        return data
    if encoding.lower() != "gzip":
        raise _RefusedError("unimplemented", "requests may be compressed with gzip only")
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(data, MAX_MESSAGE + 1)
    except zlib.error as error:
        raise _RefusedError("invalid_argument", "the request is not gzip, though it says so") from error
    if len(plain) > MAX_MESSAGE:
        raise _RefusedError("resource_exhausted", f"a message has at most {MAX_MESSAGE} bytes")
    if not inflate.eof or inflate.unused_data:
        raise _RefusedError("invalid_argument", "the gzip data of the request is cut short or has something after it")
    return plain


def _decode(plain: bytes, codec: str, message: type[Message]) -> None:
    try:
        if codec == "proto":
            message.FromString(plain)
        else:
            json_format.Parse(plain or b"{}", message(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        name = message.DESCRIPTOR.full_name
        raise _RefusedError("invalid_argument", f"the request is not a {name}") from error


def _replay(body: bytes, receive: Receive) -> Receive:
    events: list[Event] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Event:
        return events.pop() if events else await receive()

    return again
