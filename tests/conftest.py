"""Real parts for every test that is marked `real`: where they are, as `tests/parts/parts env` prints it."""

from __future__ import annotations

import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from tests.engine import remove_pulled

# The SDK looks for uv on PATH, where it is in an activated environment only.
os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))

# How many examples a property is tried with: few in `make check`, more in `make test` (`--hypothesis-profile=full`).
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("full", max_examples=100, deadline=None)
settings.load_profile("quick")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A running engine is `DOCKER_HOST`; `registry` is host:port, `base` an image there with `python` (X.Y)."""

    registry: str
    base: str
    python: str

    @property
    def base_multi(self) -> str:
        """The base for linux/amd64 and linux/arm64, on an engine that runs both. Its absence is a failure too."""
        found = os.environ.get("FLYTE_BUILD_TEST_BASE_MULTI")
        if not found:
            pytest.fail("FLYTE_BUILD_TEST_BASE_MULTI is not set: run `make test`, or `make parts`")
        return found


@pytest.fixture(scope="session")
def parts() -> Parts:
    """The real parts. Their absence is a failure, not a skip."""
    names = ("FLYTE_BUILD_TEST_REGISTRY", "FLYTE_BUILD_TEST_BASE", "FLYTE_BUILD_TEST_BASE_PYTHON")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        pytest.fail(
            f'{", ".join(missing)} not set: run `make test`, or `make parts` and eval "$(tests/parts/parts env)"'
        )
    registry, base, python = (os.environ[name] for name in names)
    return Parts(registry=registry, base=base, python=python)


@pytest.fixture
def fresh_name() -> str:
    """A name that no other test and no earlier run has used."""
    return f"t{uuid.uuid4().hex[:12]}"


def pytest_sessionfinish() -> None:
    """Images that tests pulled to be run do not stay."""
    remove_pulled()
