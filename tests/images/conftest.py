"""Our own images, built once for all tests of a session."""

from __future__ import annotations

import uuid

import pytest
from tests.conftest import Parts
from tests.images.building import Images, build, once


@pytest.fixture(scope="session")
def images(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """Runtimes for every Python that this machine can make a base with, endpoint, builder and build-image."""
    return once(tmp_path_factory, lambda folder: build(f"{parts.registry}/i{uuid.uuid4().hex[:8]}", folder, parts))
