"""What takes long says so, and nothing else does."""

from __future__ import annotations

import threading

import pytest

from flyte_build.worker.cli.patience import patience


@pytest.mark.parametrize(("mode", "speaks"), [("auto", True), ("plain", True), ("quiet", False), ("json", False)])
def test_a_long_wait_is_told_to_people_only(capfd: pytest.CaptureFixture[str], mode: str, speaks: bool) -> None:
    waited = threading.Event()
    with patience("reading", mode=mode, first=0.0, then=0.01):
        waited.wait(0.2)
    err = capfd.readouterr().err
    assert err.startswith("reading (0 s)…\nreading (0 s)…\n") if speaks else err == ""


def test_what_is_quick_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with patience("reading", mode="plain"):
        pass
    assert capfd.readouterr().err == ""
