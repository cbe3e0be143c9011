"""Who we are to each registry, as found so far."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flyte_build.registry.errors import FlyteBuildError
from flyte_build.registry.failures import ANONYMOUS
from flyte_build.registry.identity import Credentials, CredentialSource
from flyte_build.registry.names import Registry

# How long before they expire credentials are asked for again: longer than one request may take to be sent.
MARGIN = 60.0


class Identities:
    """Asks the source once for each registry, and again for what is about to expire."""

    def __init__(self, source: CredentialSource, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[Registry, Credentials | None] = {}
        self._failed: dict[Registry, FlyteBuildError] = {}

    def of(self, registry: Registry, *, must: bool) -> Credentials | None:
        """None when nobody knows this registry.

        Where they cannot be found out, that is an error if they `must` be (InvalidInput and what the source raises);
        otherwise we go on as nobody, and `shown` says why: most of what is read is public.
        """
        with self._lock:
            found = self._found.get(registry)
            if registry in self._found and not (found and found.expires_within(MARGIN, self._clock())):
                return found
        try:
            found = self._source.for_registry(registry)
        except FlyteBuildError as error:
            with self._lock:
                self._failed[registry] = error
            if must:
                raise
            return None
        with self._lock:
            self._failed.pop(registry, None)
            self._found[registry] = found
        return found

    def doubt(self, registry: Registry) -> None:
        """The registry refused: what expires is asked for again, it may have been taken back early."""
        with self._lock:
            found = self._found.get(registry)
            if found and found.expires_at is not None:
                del self._found[registry]

    def shown(self, registry: Registry) -> str:
        """Who we are, and if we are nobody for want of an answer, why."""
        with self._lock:
            found, failed = self._found.get(registry), self._failed.get(registry)
        if found is None and failed is not None:
            return f"{ANONYMOUS}, because {failed}"
        return str(found or ANONYMOUS)
