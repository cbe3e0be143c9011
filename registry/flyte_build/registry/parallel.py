"""The same for many things at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], at_once: int) -> list[Result]:
    """The results in the items' order. The first failure is raised; what has not begun by then never does."""
    if len(items) < 2 or at_once < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """`work` runs while the block does; both have ended when this has. What `work` raises is raised after the block."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        yield
    working.result()
