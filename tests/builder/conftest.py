"""Fixtures of the builder's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.builder.building import Workshop
from tests.conftest import Parts


@pytest.fixture
def workshop(parts: Parts, tmp_path: Path, fresh_name: str) -> Workshop:
    """Builds on the real engine, with `tmp_path` as the folder of the specs."""
    return Workshop(parts=parts, root=tmp_path, name=fresh_name)
