"""Places of a test's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short one: names of sockets may not be long."""
    with tempfile.TemporaryDirectory(prefix="fb-") as made:
        yield Path(made)
