"""PUT and GET of signed URLs of the embedded store."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, PlainTextResponse, Response

from flyte_build.registry.errors import ServiceConflict, ServiceDenied, ServiceError
from flyte_build.worker.stores.store import MAX_OBJECT

if TYPE_CHECKING:
    from starlette.requests import Request

    from flyte_build.worker.stores.local import LocalStore

_PIECE = 1 << 20
_log = logging.getLogger(__name__)


class Uploads:
    """Answers as object stores do: 200, or 403 with the reason in the body, never with the URL."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def put(self, request: Request) -> Response:
        """Streams the body to the store; what is not exactly what was signed leaves no trace."""
        declared = request.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared) > MAX_OBJECT:
            return _refused(413, f"EntityTooLarge: at most {MAX_OBJECT} bytes may be uploaded here")
        try:
            with self._store.receive(request.path_params["key"], request.query_params) as incoming:
                # The SDK sends a file line by line, which for an archive is tens of thousands of pieces.
                waiting = bytearray()
                async for chunk in request.stream():
                    waiting += chunk
                    if len(waiting) >= _PIECE:
                        await asyncio.to_thread(incoming.write, bytes(waiting))
                        waiting.clear()
                await asyncio.to_thread(incoming.write, bytes(waiting))
                new = await asyncio.to_thread(incoming.commit)
        except ServiceConflict as error:
            return _refused(409, error.sentence)
        except ServiceDenied as error:
            return _refused(403, error.sentence)
        except ClientDisconnect:
            return _refused(400, "IncompleteBody: the upload was cut short")
        except OSError as error:
            sentence = f"InsufficientStorage: the endpoint cannot keep the upload: {error.strerror}"
            _log.error("upload %s: %s", request.path_params["key"], sentence)
            return _refused(507, sentence)
        _log.info("upload %s: %s", request.path_params["key"], "stored" if new else "already here")
        return Response(status_code=200)

    async def get(self, request: Request) -> Response:
        """Streams the object."""
        try:
            path = await asyncio.to_thread(self._store.give, request.path_params["key"], request.query_params)
        except ServiceDenied as error:
            return _refused(403, error.sentence)
        except ServiceError as error:
            return _refused(404, error.sentence)
        # Whatever it is, a browser saves it and does not show it.
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)


def _refused(status: int, sentence: str) -> Response:
    # The body may not have been read to its end, and a connection in that state serves nobody else.
    return PlainTextResponse(f"{sentence}\n", status_code=status, headers={"connection": "close"})
