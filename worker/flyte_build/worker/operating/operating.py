"""What a process of the service tells of itself while it works: metrics and traces, opened and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from flyte_build.worker.operating.cache import CacheKeeper
from flyte_build.worker.operating.metrics import Metrics
from flyte_build.worker.operating.observed import Observed
from flyte_build.worker.operating.traces import Traces, open_traces

if TYPE_CHECKING:
    from flyte_build.worker.builds.request import ImageBuilding
    from flyte_build.worker.operating.cache import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """The metrics and traces of one process."""

    metrics: Metrics
    traces: Traces

    @classmethod
    def open(cls, service: str) -> Operating:
        """Of the process that is called `service` in traces. InvalidInput when it cannot do what is configured."""
        return cls(metrics=Metrics(version("flyte-build")), traces=open_traces(service))

    def observed(self, building: ImageBuilding) -> ImageBuilding:
        """The same builder, watched."""
        return Observed(building=building, metrics=self.metrics, traces=self.traces)

    def keeper(self, cache: Cache) -> CacheKeeper:
        """Looks after the build cache, once it is started."""
        return CacheKeeper(cache, self.metrics)

    def close(self) -> None:
        """Sends what waits."""
        self.traces.close()
