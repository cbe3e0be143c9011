"""What takes long says so, and nothing else does."""

from __future__ import annotations

import re
import time

import pytest

from flyte_build.worker.cli.patience import patience


@pytest.mark.parametrize(("mode", "speaks"), [("auto", True), ("plain", True), ("quiet", False), ("json", False)])
def test_a_long_wait_is_told_to_people_only(capfd: pytest.CaptureFixture[str], mode: str, speaks: bool) -> None:
    said, end = "", time.monotonic() + (60 if speaks else 0.2)
    with patience("reading", mode=mode, first=0.0, then=0.01):
        while said.count("\n") < 2 and time.monotonic() < end:
            time.sleep(0.02)
            said += capfd.readouterr().err
    assert re.match(r"(reading \(\d+ s\)…\n){2}", said) if speaks else said == ""


def test_what_is_quick_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with patience("reading", mode="plain"):
        pass
    assert capfd.readouterr().err == ""
