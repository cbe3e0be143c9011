"""Traces by OpenTelemetry, off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set (or the one for traces).

One trace goes from the request over the queue to the last step: its context (W3C `traceparent`) lies in the row of the
build. Spans carry names of projects, targets and kinds of steps, and never what a step printed or a request held.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from flyte_build.registry.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_SETTINGS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_LONGEST = 200


class Span(Protocol):
    """A span that is open."""

    @property
    def context(self) -> str:
        """Its `traceparent`, or empty when nobody traces."""
        ...

    def fail(self, kind: str) -> None:
        """It ends badly, with an error of this class."""
        ...

    def set(self, name: str, value: str | int) -> None:
        """Says something about it."""
        ...


class Traces(Protocol):
    """Whoever keeps spans."""

    @contextmanager
    def span(self, name: str, parent: str = "", **facts: str) -> Iterator[Span]:
        """A span as long as the block; below `parent` (a `traceparent`), or below the span that is open here."""
        ...

    def past(self, name: str, parent: str, began: float, ended: float) -> None:
        """A span that is over: times in seconds since 1970."""
        ...

    def current(self) -> str:
        """The `traceparent` of the span that is open here, or empty."""
        ...

    def close(self) -> None:
        """Sends what waits; bounded in time."""
        ...


def open_traces(service: str, environment: Mapping[str, str] | None = None) -> Traces:
    """Traces of a process that is called `service`. InvalidInput when they are wanted and the extra is missing."""
    environment = os.environ if environment is None else environment
    if not any(environment.get(name) for name in _SETTINGS) or environment.get("OTEL_SDK_DISABLED") == "true":
        return Untraced()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise InvalidInput(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, and OpenTelemetry is not installed",
            hint="pip install 'flyte-build[otel]', or unset it",
        ) from error
    # The resource also takes OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, which win.
    name = environment.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traced(provider)


class Untraced:
    """`Traces` that keeps nothing, and imports nothing."""

    context = ""

    @contextmanager
    def span(self, name: str, parent: str = "", **facts: str) -> Iterator[Span]:
        """As `Traces.span`."""
        del name, parent, facts
        yield self

    def past(self, name: str, parent: str, began: float, ended: float) -> None:
        """As `Traces.past`."""

    def current(self) -> str:
        """As `Traces.current`."""
        return ""

    def close(self) -> None:
        """As `Traces.close`."""

    def fail(self, kind: str) -> None:
        """As `Span.fail`."""

    def set(self, name: str, value: str | int) -> None:
        """As `Span.set`."""


class Traced:
    """`Traces` by a provider of OpenTelemetry's SDK."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("flyte_build")

    @contextmanager
    def span(self, name: str, parent: str = "", **facts: str) -> Iterator[Span]:
        """As `Traces.span`."""
        attributes = {key.replace("_", "."): value[:_LONGEST] for key, value in facts.items() if value}
        given = _context(parent)
        # What went wrong is said by `fail`: an exception's text is a user's.
        with self._tracer.start_as_current_span(
            name, given, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            opened = _OpenSpan(span)
            try:
                yield opened
            except Exception as error:
                opened.fail(type(error).__name__)
                raise

    def past(self, name: str, parent: str, began: float, ended: float) -> None:
        """As `Traces.past`."""
        span = self._tracer.start_span(name, _context(parent), start_time=int(began * 1e9))
        span.end(int(max(began, ended) * 1e9))

    def current(self) -> str:
        """As `Traces.current`."""
        from opentelemetry.trace import get_current_span

        return _OpenSpan(get_current_span()).context

    def close(self) -> None:
        """As `Traces.close`."""
        self._provider.force_flush(5000)
        self._provider.shutdown()


class _OpenSpan:
    def __init__(self, span: object) -> None:
        self._span = span

    @property
    def context(self) -> str:
        from opentelemetry.trace import Span as Otel
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        if isinstance(self._span, Otel):
            TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier.get("traceparent", "")

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import Span as Otel
        from opentelemetry.trace import Status, StatusCode

        if isinstance(self._span, Otel):
            self._span.set_status(Status(StatusCode.ERROR, kind))
            self._span.set_attribute("error.type", kind)

    def set(self, name: str, value: str | int) -> None:
        from opentelemetry.trace import Span as Otel

        if isinstance(self._span, Otel):
            self._span.set_attribute(name, value[:_LONGEST] if isinstance(value, str) else value)


def _context(parent: str) -> Context | None:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
