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
    may have it by then. `asked` says that somebody wants it stopped. `until` is when the claim ends if it is not
    renewed again, of `time.monotonic`.
    """

    def __init__(self, builds: Builds, claim: Claim) -> None:
        self._builds = builds
        self._claim = claim
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.build.id[:8]}", daemon=True)
        self._until = time.monotonic() + claim.build.lease_until - builds.clock()
        self.cancelled = threading.Event()
        self.asked = False
        self._lost = False

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def until(self) -> float:
        """See above."""
        return self._until

    @property
    def lost(self) -> bool:
        """Also when nobody could say so yet: a process that was stopped and goes on finds its lease over."""
        return self._lost or self._over()

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
            # Before it is asked: what the database notes cannot be earlier.
            now = time.monotonic()
            try:
                hold = self._builds.renew(self._claim)
            except Exception as error:  # noqa: BLE001 - whatever it is, an unrenewed claim must stop the build
                if not isinstance(error, ServiceError):
                    _log.exception("build %s: its lease cannot be renewed", self._claim.build.id)
                if self._over():
                    self._stop(lost=True)
                continue
            if hold.held:
                self._until = now + self._builds.lease_seconds
            if hold.stop:
                self._stop(lost=not hold.held)

    def _stop(self, *, lost: bool) -> None:
        self._lost |= lost
        self.asked |= not lost
        self.cancelled.set()

    def _over(self) -> bool:
        return time.monotonic() > self._until
