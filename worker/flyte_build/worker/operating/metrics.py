"""What Prometheus is told. One registry a process; every label has few values, none of them a user's text.

flyte_build_builds{state}             gauge, from the database: queued, running
flyte_build_queue_oldest_seconds      gauge: how long the oldest build waits
flyte_build_queue_wait_seconds        histogram: from request to the beginning of an attempt
flyte_build_build_seconds{status}     histogram: built, exists, failed, cancelled
flyte_build_step_seconds{step}        histogram: steps that were not cached
flyte_build_steps_total{cached}       counter: cache hits and misses
flyte_build_answered_total            counter: requests for images that were there, answered without a worker
flyte_build_failures_total{kind}      counter: classes of errors
flyte_build_pushed_bytes_total        counter: layers that the base does not have, compressed
flyte_build_cache_bytes               gauge: the build cache of BuildKit
flyte_build_cache_pruned_total        counter: times that it was made smaller
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import GaugeMetricFamily

from flyte_build.builder.engine import StepEnded
from flyte_build.registry.errors import ServiceError
from flyte_build.worker.drivers.lines import is_noise
from flyte_build.worker.operating.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.core import Metric

    from flyte_build.builder.engine import BuildEvent

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one process. The methods are called from any thread and raise nothing."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self._wait = self._histogram("queue_wait_seconds", "From the request to the beginning of an attempt.")
        self._build = self._histogram("build_seconds", "How long builds took.", "status")
        self._step = self._histogram("step_seconds", "How long steps took that were not cached.", "step")
        self._steps = Counter("flyte_build_steps", "Steps that ended.", ["cached"], registry=self.registry)
        self._answered = Counter("flyte_build_answered", "Images that were there.", registry=self.registry)
        self._failures = Counter("flyte_build_failures", "Builds that failed.", ["kind"], registry=self.registry)
        self._pushed = Counter("flyte_build_pushed_bytes", "Bytes of new layers.", registry=self.registry)
        self._cache = Gauge("flyte_build_cache_bytes", "BuildKit's build cache.", registry=self.registry)
        self._pruned = Counter("flyte_build_cache_pruned", "Times the cache was pruned.", registry=self.registry)
        Info("flyte_build", "This release.", registry=self.registry).info({"version": version})

    def waited(self, seconds: float) -> None:
        """A build began this long after it was asked."""
        self._wait.observe(max(0.0, seconds))

    def heard(self, event: BuildEvent) -> None:
        """An engine said something."""
        if not isinstance(event, StepEnded) or is_noise(event):
            return
        self._steps.labels("true" if event.cached else "false").inc()
        if not event.cached:
            self._step.labels(kind_of(event.title)).observe(event.seconds)

    def ended(self, status: str, seconds: float, failure: str = "") -> None:
        """A build ended: `built`, `exists`, `cancelled`, or `failed` with the class of the error."""
        self._build.labels(status).observe(seconds)
        if failure:
            self._failures.labels(failure).inc()

    def answered(self) -> None:
        """A request was answered with what was there, without a worker."""
        self._answered.inc()

    def pushed(self, size: int) -> None:
        """So many bytes of new layers are in a registry."""
        self._pushed.inc(size)

    def cache(self, size: int, *, pruned: bool) -> None:
        """BuildKit's cache is so many bytes, and was just made smaller or not."""
        self._cache.set(size)
        if pruned:
            self._pruned.inc()

    def watch_queue(self, look: Callable[[], tuple[Mapping[str, int], float]]) -> None:
        """From now on every scrape says how many builds are in which state, and how long the oldest waits."""
        self.registry.register(_Queue(look))

    def text(self) -> bytes:
        """What a scrape gets."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, what: str, *labels: str) -> Histogram:
        return Histogram(f"flyte_build_{name}", what, labels, buckets=_SECONDS, registry=self.registry)


class _Queue:
    """A collector that asks the database; without an answer the metrics are missing, and not zero."""

    def __init__(self, look: Callable[[], tuple[Mapping[str, int], float]]) -> None:
        self._look = look

    def describe(self) -> Iterator[Metric]:
        """Names only: registering must not ask the database."""
        yield from _families({}, 0.0)

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client calls at a scrape."""
        try:
            yield from _families(*self._look())
        except ServiceError:
            return


def _families(counts: Mapping[str, int], oldest: float) -> Iterator[Metric]:
    builds = GaugeMetricFamily("flyte_build_builds", "Builds that have not ended.", labels=["state"])
    for state in ("queued", "running"):
        builds.add_metric([state], counts.get(state, 0))
    yield builds
    yield GaugeMetricFamily("flyte_build_queue_oldest_seconds", "How long the oldest build waits.", value=oldest)
