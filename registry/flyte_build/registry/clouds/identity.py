"""What the cloud that a registry belongs to says about this machine."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from flyte_build.registry.identity import Credentials
from flyte_build.registry.known import MARGIN
from flyte_build.registry.names import Registry


class CloudIdentity:
    """Asked last. Keeps what it was given until shortly before it expires; imports nothing for other hosts."""

    name = "the cloud's own identity"

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.time) -> None:
        self._environ = environ
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[Registry, Credentials] = {}

    def for_registry(self, registry: Registry) -> Credentials | None:
        """Raises InvalidInput for an identity that is there and cannot be used, or whose package is missing."""
        # Asked last, and by most checks not at all.
        from flyte_build.registry.clouds.hosts import cloud_of

        cloud = cloud_of(registry)
        if cloud is None:
            return None
        with self._lock:
            kept = self._kept.get(registry)
        if kept and not kept.expires_within(MARGIN, self._clock()):
            return kept
        found = cloud.provider()(registry, dict(self._environ))
        if found is not None and found.expires_at is not None:
            with self._lock:
                self._kept[registry] = found
        return found
