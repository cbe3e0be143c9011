"""Fixtures of the registry's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.registry.doubles import FaultyRegistry, faulty_registry


@pytest.fixture
def faulty() -> Iterator[FaultyRegistry]:
    """A registry that says what the test tells it to."""
    with faulty_registry() as double:
        yield double
