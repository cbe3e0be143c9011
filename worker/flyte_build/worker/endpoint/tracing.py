"""A span for each unary call, below the caller's if it sends one (W3C `traceparent`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from flyte_build.worker.endpoint.failures import Context
    from flyte_build.worker.operating.traces import Traces

_Q = TypeVar("_Q")
_A = TypeVar("_A")


class Tracing:
    """An interceptor of connectrpc. Streams last as long as somebody watches, which says nothing: they have no span."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    async def intercept_unary(self, call_next: Callable[[_Q, Context], Awaitable[_A]], request: _Q, ctx: Context) -> _A:
        """Calls the method within a span."""
        method = ctx.method()
        parent = ctx.request_headers().get("traceparent") or ""
        with self._traces.span(f"{method.service_name}/{method.name}", parent):
            return await call_next(request, ctx)

    async def intercept_server_stream(
        self, call_next: Callable[[_Q, Context], AsyncIterator[_A]], request: _Q, ctx: Context
    ) -> AsyncIterator[_A]:
        """Calls the method."""
        async for message in call_next(request, ctx):
            yield message
