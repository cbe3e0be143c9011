"""A builder that is watched: metrics and traces of what it does, without its knowing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyte_build.builder.engine import StepEnded
from flyte_build.registry.errors import BuildCancelled, FlyteBuildError
from flyte_build.worker.operating.kinds import kind_of

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from flyte_build.builder.engine import BuildEvent
    from flyte_build.worker.builds.request import BuildOutcome, BuildRequest, ImageBuilding, LogSink
    from flyte_build.worker.operating.metrics import Metrics
    from flyte_build.worker.operating.traces import Span, Traces


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`ImageBuilding` around another one. `clock` is seconds since 1970."""

    building: ImageBuilding
    metrics: Metrics
    traces: Traces
    clock: Callable[[], float] = time.time

    def __call__(self, request: BuildRequest, log: LogSink, cancelled: threading.Event) -> BuildOutcome:
        """As `ImageBuilding`."""
        began = self.clock()
        if request.asked_at:
            self.metrics.waited(began - request.asked_at)
            self.traces.past("queue", request.trace, request.asked_at, began)
        facts = {"project": request.project, "domain": request.domain, "target": request.target}
        with self.traces.span("build", request.trace, build_id=request.build_id, **facts) as span:
            try:
                outcome = self.building(request, _Hearing(log, self._hear(span)), cancelled)
            except FlyteBuildError as error:
                stopped = cancelled.is_set() or isinstance(error, BuildCancelled)
                kind = "" if stopped else type(error).__name__
                self.metrics.ended("cancelled" if stopped else "failed", self.clock() - began, kind)
                raise
            span.set("status", outcome.status)
            span.set("image.reference", outcome.reference)
            span.set("image.pushed_bytes", outcome.pushed_bytes)
        self.metrics.ended(outcome.status, self.clock() - began)
        self.metrics.pushed(outcome.pushed_bytes)
        return outcome

    def _hear(self, span: Span) -> Callable[[BuildEvent], None]:
        def hear(event: BuildEvent) -> None:
            self.metrics.heard(event)
            if isinstance(event, StepEnded) and span.context:
                now = self.clock()
                self.traces.past(f"step {kind_of(event.title)}", span.context, now - event.seconds, now)

        return hear


class _Hearing:
    """A log that somebody else hears too."""

    def __init__(self, log: LogSink, hear: Callable[[BuildEvent], None]) -> None:
        self._log = log
        self._hear = hear

    def __call__(self, text: str) -> None:
        self._log(text)

    def step(self, event: BuildEvent) -> None:
        self._log.step(event)
        self._hear(event)
