"""Wakes those who wait for a change in the database, within this process.

A bell is only a hint: who waits looks in the database when it rings and every few seconds anyway, because the
change may have been made by another process.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Listener:
    """One waiter, in one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Called from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            return  # the loop is closed: nobody waits there any more

    async def wait(self, seconds: float) -> None:
        """Returns when the bell rang since the last call, or after `seconds`."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            return
        self._event.clear()


class Bell:
    """Rings by name; safe to use from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[Listener]] = {}

    def ring(self, *names: str) -> None:
        """Wakes everyone who listens to one of `names`."""
        with self._lock:
            waiting = [listener for name in names for listener in self._listeners.get(name, ())]
        for listener in waiting:
            listener.wake()

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        with self._lock:
            return bool(self._listeners)

    def ring_all(self) -> None:
        """Wakes everyone: the service is stopping."""
        with self._lock:
            names = tuple(self._listeners)
        self.ring(*names)

    @contextmanager
    def listen(self, *names: str) -> Iterator[Listener]:
        """Listens from now on: look in the database after entering, then wait."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            for name in names:
                self._listeners.setdefault(name, set()).add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                for name in names:
                    self._listeners[name].discard(listener)
                    if not self._listeners[name]:
                        del self._listeners[name]
