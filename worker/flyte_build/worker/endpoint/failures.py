"""Errors on the wire: what the service raises becomes one sentence and a Connect code, never a traceback.

Source of codes and HTTP statuses: the Connect protocol specification, "Error codes".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from connectrpc.code import Code
from connectrpc.errors import ConnectError

from flyte_build.registry.errors import (
    FlyteBuildError,
    InvalidInput,
    ServiceConflict,
    ServiceDenied,
    ServiceQuota,
    ServiceStranger,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from connectrpc.request import RequestContext

    Context = RequestContext[object, object]

_log = logging.getLogger(__name__)
_Q = TypeVar("_Q")
_A = TypeVar("_A")


def connect_error(error: FlyteBuildError) -> ConnectError:
    """The same sentence, with the code that tells a client whether to try again."""
    sentence = f"{error.sentence}; {error.hint}" if error.hint else error.sentence
    if isinstance(error, InvalidInput):
        return ConnectError(Code.INVALID_ARGUMENT, sentence)
    if isinstance(error, ServiceStranger):
        return ConnectError(Code.UNAUTHENTICATED, sentence)
    if isinstance(error, ServiceQuota):
        return ConnectError(Code.RESOURCE_EXHAUSTED, sentence)
    if isinstance(error, ServiceDenied):
        return ConnectError(Code.PERMISSION_DENIED, sentence)
    if isinstance(error, ServiceConflict):
        return ConnectError(Code.ALREADY_EXISTS, sentence)
    return ConnectError(Code.UNAVAILABLE if error.transient else Code.FAILED_PRECONDITION, sentence)


def not_found(what: str) -> ConnectError:
    """There is no such thing."""
    return ConnectError(Code.NOT_FOUND, f"there is no {what} here")


def unimplemented(what: str) -> ConnectError:
    """This endpoint does not do that."""
    return ConnectError(Code.UNIMPLEMENTED, f"this endpoint does not {what}")


class Translating:
    """An interceptor of connectrpc for unary and server-streaming methods."""

    async def intercept_unary(self, call_next: Callable[[_Q, Context], Awaitable[_A]], request: _Q, ctx: Context) -> _A:
        """Calls the method and translates what it raises."""
        try:
            return await call_next(request, ctx)
        except Exception as error:
            raise _translate(error, ctx) from error

    async def intercept_server_stream(
        self, call_next: Callable[[_Q, Context], AsyncIterator[_A]], request: _Q, ctx: Context
    ) -> AsyncIterator[_A]:
        """Calls the method and translates what it raises, also in the middle of the stream."""
        try:
            async for message in call_next(request, ctx):
                yield message
        except Exception as error:
            raise _translate(error, ctx) from error


def _translate(error: Exception, ctx: Context) -> ConnectError:
    if isinstance(error, ConnectError):
        return error
    if isinstance(error, FlyteBuildError):
        return connect_error(error)
    _log.error("%s broke", ctx.method().name, exc_info=error)
    return ConnectError(Code.INTERNAL, "the endpoint broke while it answered; its log says how")
