"""Keeps a worker's claim while it builds, and tells the build to stop when it must."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.builds.values import Claim

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0


class Lease:
    """A context in which the claim is renewed by a thread; `cancelled` is what the build looks at.

    When the claim is lost, or could not be renewed for a whole lease, the build is stopped (`lost`): another worker
    may have it by then. `asked` says that somebody wants it stopped.
    """

    def __init__(self, builds: Builds, claim: Claim) -> None:
        self._builds = builds
        self._claim = claim
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.build.id[:8]}", daemon=True)
        self._renewed_at = time.monotonic()
        self.cancelled = threading.Event()
        self.asked = False
        self.lost = False

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def write(self, end: Callable[[], bool]) -> None:
        """Writes down how the build ended; while the database is away, again and again until the lease is over.

        After that the build is somebody else's, who finds what is done already.
        """
        while True:
            try:
                if not end():
                    _log.warning("build %s: another worker has it by now", self._claim.build.id)
            except ServiceError as error:
                if self._over():
                    raise
                _log.warning("build %s: its end is not written yet: %s", self._claim.build.id, error.sentence)
                time.sleep(min(_LOOK_SECONDS, self._builds.lease_seconds / 4))
            else:
                return

    def _keep(self) -> None:
        while not self._done.wait(min(_LOOK_SECONDS, self._builds.lease_seconds / 4)):
            try:
                hold = self._builds.renew(self._claim)
            except Exception as error:  # noqa: BLE001 - whatever it is, an unrenewed claim must stop the build
                if not isinstance(error, ServiceError):
                    _log.exception("build %s: its lease cannot be renewed", self._claim.build.id)
                if self._over():
                    self._stop(lost=True)
                continue
            if hold.held:
                self._renewed_at = time.monotonic()
            if hold.stop:
                self._stop(lost=not hold.held)

    def _stop(self, *, lost: bool) -> None:
        self.lost |= lost
        self.asked |= not lost
        self.cancelled.set()

    def _over(self) -> bool:
        return time.monotonic() - self._renewed_at > self._builds.lease_seconds
