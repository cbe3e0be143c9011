"""Fixtures of the builder's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.builder.building import Workshop, docker
from tests.conftest import Parts


@pytest.fixture
def workshop(parts: Parts, tmp_path: Path, fresh_name: str) -> Iterator[Workshop]:
    """Builds on the real engine, with `tmp_path` as the folder of the specs."""
    shop = Workshop(parts=parts, root=tmp_path, name=fresh_name)
    yield shop
    if shop.pulled:
        docker("image", "rm", "--force", *dict.fromkeys(shop.pulled))
