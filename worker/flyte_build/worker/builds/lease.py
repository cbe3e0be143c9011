"""Keeps a worker's claim while it builds, and tells the build to stop when it must."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.builds.values import Claim

_LOOK_SECONDS = 1.0


class Lease:
    """A context in which the claim is renewed by a thread; `cancelled` is what the build looks at.

    When the database cannot be reached for a whole lease the build is stopped too: another worker may have it by then.
    """

    def __init__(self, builds: Builds, claim: Claim, log_bytes: Callable[[], int]) -> None:
        self._builds = builds
        self._claim = claim
        self._log_bytes = log_bytes
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.build.id[:8]}", daemon=True)
        self.cancelled = threading.Event()
        self.asked = False

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _keep(self) -> None:
        held_at = time.monotonic()
        while not self._done.wait(min(_LOOK_SECONDS, self._builds.lease_seconds / 4)):
            try:
                hold = self._builds.renew(self._claim, self._log_bytes())
            except ServiceError:
                if time.monotonic() - held_at > self._builds.lease_seconds:
                    self.cancelled.set()
                continue
            held_at = time.monotonic()
            if hold.stop:
                self.asked = hold.held
                self.cancelled.set()
