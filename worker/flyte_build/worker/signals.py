"""SIGINT and SIGTERM as events, for processes that end what they do before they go."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def heard(stopping: threading.Event) -> Iterator[threading.Event]:
    """The first signal sets `stopping`, a second one the event that this yields; only in the main thread."""
    again = threading.Event()

    def hear(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of handlers
        (again if stopping.is_set() else stopping).set()

    if threading.current_thread() is not threading.main_thread():
        yield again
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield again
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
