"""Python's cycle collector, kept out of the way."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """No cycles are sought meanwhile.

    A listing makes hundreds of thousands of values that stay; looking through them again and again took a third of
    the time, and none is ever in a cycle.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
