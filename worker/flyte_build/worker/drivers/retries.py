"""Saying what is tried again: a registry that does not answer is no silence."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from flyte_build.registry.client import RegistryClient
from flyte_build.registry.options import options_of

if TYPE_CHECKING:
    from flyte_build.registry.identity import CredentialSource
    from flyte_build.registry.progress import Retry

# What many requests meet at once is said once within so many seconds.
_ONCE = 5.0


def telling_client(say: Callable[[str], None], credentials: CredentialSource | None = None) -> RegistryClient:
    """A client that says a sentence before it tries something again."""
    return RegistryClient(credentials, replace(options_of(os.environ), retries=_Once(say)))


class _Once:
    """Passes on what was not just said. Many threads may speak."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, retry: Retry) -> None:
        now, sentence = time.monotonic(), retry.sentence
        with self._lock:
            self._said = {old: at for old, at in self._said.items() if now - at < _ONCE}
            if sentence in self._said:
                return
            self._said[sentence] = now
        self._say(sentence)
