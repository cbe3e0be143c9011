"""Work beside other work: both happen, both are over, and no failure is lost."""

from __future__ import annotations

import threading

import pytest

from flyte_build.registry.parallel import beside


def test_what_is_beside_a_block_runs_while_it_does() -> None:
    met = threading.Barrier(2, timeout=10)
    with beside(lambda: void(met.wait())):
        met.wait()


def test_its_failure_comes_after_the_block() -> None:
    done = []
    with pytest.raises(ZeroDivisionError), beside(lambda: void(1 // 0)):
        done.append("the block")
    assert done == ["the block"]


def test_a_failed_block_waits_for_what_is_beside_it() -> None:
    ended = threading.Event()

    def late() -> None:
        ended.wait(0.05)
        ended.set()

    with pytest.raises(KeyError), beside(late):
        raise KeyError
    assert ended.is_set()


def void(_: object) -> None:
    """For expressions that are functions without an answer."""
