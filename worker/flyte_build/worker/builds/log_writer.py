"""Appends to the log of one build while it runs."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.builds.entries import Entry, entry_of
from flyte_build.worker.stores.logs import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from flyte_build.builder.engine import BuildEvent

_log = logging.getLogger(__name__)
_FLUSH_SECONDS = 0.25
# A portion in the database, and what is held while the database is away, in bytes.
_PORTION = 64 * 1024
_HELD = 4 * 2**20
_TAIL_LINES = 60


class BuildLog:
    """Appends to one build's log from any thread: what happens now is in the database a quarter of a second later.

    A database that does not answer costs nothing but the time; what is said meanwhile is held, and a part of it is
    given up when it becomes too much.
    """

    def __init__(
        self, put: Callable[[list[str]], None], clock: Callable[[], float], redact: Callable[[str], str], left: int
    ) -> None:
        self._put = put
        self._clock = clock
        self._redact = redact
        self._left = left
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._held = 0
        self._last: deque[str] = deque(maxlen=_TAIL_LINES)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="build-log", daemon=True)
        self.size = 0

    def __enter__(self) -> BuildLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self.flush()

    def __call__(self, text: str) -> None:
        """Adds a note of the service: one or more lines."""
        for line in clean(text).splitlines():
            self._add(Entry(at=self._clock(), kind="note", text=line))

    def step(self, event: BuildEvent) -> None:
        """Adds what an engine said."""
        self._add(entry_of(event, self._clock()))

    def tail(self, limit: int) -> str:
        """The last lines that were added here, at most `limit` characters of them."""
        with self._lock:
            text = "".join(f"{line}\n" for line in self._last)
        return text[-limit:]

    def flush(self) -> None:
        """Writes what waits."""
        while portion := self._next():
            try:
                self._put(portion)
            except ServiceError as error:
                _log.warning("a build's log waits for the database: %s", error.sentence)
                with self._lock:
                    self._waiting.extendleft(reversed(portion))
                    self._held += sum(map(len, portion))
                return

    def _keep(self) -> None:
        while not self._done.wait(_FLUSH_SECONDS):
            self.flush()

    def _add(self, entry: Entry) -> None:
        entry = replace(entry, title=self._redact(entry.title), text=self._redact(entry.text))
        encoded = entry.encode()
        line = entry.line
        with self._lock:
            if line is not None:
                self._last.append(line)
            if self._left <= 0 or self._held > _HELD:
                return
            self._left -= len(encoded) + 1
            if self._left <= 0:
                encoded = Entry(at=entry.at, kind="note", text="[the log is too long; the rest is not kept]").encode()
            self.size += len(encoded) + 1
            self._held += len(encoded)
            self._waiting.append(encoded)

    def _next(self) -> list[str]:
        portion: list[str] = []
        size = 0
        with self._lock:
            while self._waiting and size < _PORTION:
                portion.append(self._waiting.popleft())
                size += len(portion[-1])
            self._held -= size
        return portion
