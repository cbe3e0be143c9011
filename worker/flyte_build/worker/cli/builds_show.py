"""How `flyte-build builds` writes what a service says of its builds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from flyte_build.builder.engine import StepEnded
from flyte_build.worker.drivers.lines import is_noise
from flyte_build.worker.stores.logs import clean

_FIELDS = ("target", "state", "waits", "status", "reference", "spec_digest", "attempts", "seconds", "step", "error")
_ID, _SHORT = 32, 8


def row(build: Mapping[str, Any], *, short: bool = False) -> str:
    """A build on one line: id, state, when, how long, project, target; reference, error or why it waits.

    `short`: as much of the id as nearly always means one build.
    """
    width = _SHORT if short else _ID
    seconds = build["seconds"]
    took = f"{seconds:.1f} s" if seconds is not None else ""
    end = build["reference"] or _first(build["error"]) or build.get("waits", "")
    words = (
        f"{_plain(build['id'])[:width]:{width}}  {_plain(build['state']):9}  {_clock(build['created_at'])}  {took:>9}",
        f"{_plain(build['project'])}/{_plain(build['domain'])}  {_plain(build['target'])}  {_plain(end)}",
    )
    return "  ".join(words).rstrip()


def shown(build: Mapping[str, Any]) -> str:
    """A build on several lines, with its runs and, if it failed, the last lines of the step that did."""
    lines = [f"build {_plain(build['id'])} of {_plain(build['project'])}/{_plain(build['domain'])}"]
    lines += [f"  {name:12} {_plain(build[name])}" for name in _FIELDS if build.get(name) not in (None, "")]
    times = (("asked", "created_at"), ("began", "started_at"), ("ended", "ended_at"))
    lines += [f"  {name:12} {_clock(build[key])}" for name, key in times if build.get(key)]
    lines += [f"  {'run':12} {_plain(run)}" for run in build.get("runs", ())]
    if build.get("log"):
        lines += ["", *(f"    {line}" for line in clean(str(build["log"])).splitlines())]
    return "\n".join(lines)


def summary(build: Mapping[str, Any], steps: Sequence[StepEnded]) -> str:
    """How it ended: state, time, steps and how many of them were cached, the pinned reference."""
    told = [step for step in steps if not is_noise(step)]
    cached = sum(step.cached for step in told)
    counts = f", {len(told)} steps of which {cached} cached" if told else ""
    took = f" in {build['seconds']:.1f} s" if build["seconds"] is not None else ""
    what = f" ({build['status']})" if build["status"] else ""
    image = f": {_plain(build['reference'])}" if build["reference"] else ""
    return f"build {_plain(build['id'])}: {_plain(build['state'])}{what}{took}{counts}{image}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _first(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def _plain(value: object) -> str:
    # A service may be anybody's, and this goes to a terminal.
    return " ".join(clean(str(value)).split())
