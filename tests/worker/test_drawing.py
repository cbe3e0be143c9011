"""How a build is drawn on a terminal while it runs."""

from __future__ import annotations

import io
import re

from rich.console import Console

from flyte_build.builder.engine import StepEnded, StepOutput, StepProgress, StepStarted
from flyte_build.worker.cli.progress import _Live


def test_what_ended_stays_and_notes_stand_on_lines_of_their_own() -> None:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=80, highlight=False)
    push = StepProgress(title="exporting", what="pushing layers", done=5_000_000, total=10_000_000, seconds=1.0)
    with console.status("starting…") as status:
        draw = _Live(console, status)
        draw("base debian")
        draw(StepStarted(title="base image"))
        draw(StepEnded(title="base image", seconds=0.0, cached=True))
        draw(StepStarted(title="[internal] load metadata"))
        draw(StepStarted(title="[context x] load metadata for x"))
        draw(StepEnded(title="[context x] load metadata for x", seconds=0.1))
        draw(StepStarted(title="exporting"))
        draw(StepOutput(title="exporting", line="working"))
        draw(push)
        assert "pushing layers  5.0/10.0 MB  1.0s" in str(status.status)
        draw(StepProgress(title="exporting", what="pushing layers", done=1, total=1, seconds=2.0, ended=True))
        draw(StepEnded(title="exporting", seconds=2.5))
        draw("built x@sha256:0")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", sink.getvalue())
    lines = [line for line in re.split(r"[\r\n]+", shown) if line.strip() and not re.match(r"[⠀-⣿]", line)]
    assert lines == [
        "base debian",
        "  = cached base image",
        "    pushing layers  0.0/0.0 MB  2.0s",
        "  ✓   2.5s exporting",
        "built x@sha256:0",
    ]
