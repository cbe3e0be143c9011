"""Build events as lines of text: for a plain terminal, and for a build's log."""

from __future__ import annotations

import re

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepProgress

# The engine's own bookkeeping, which tells a reader nothing.
_NOISE = re.compile(r"\[(?:linux/\S+ )?(?:internal\]|recipe |context \S+\] load )")
_WIDTH = 100
# A part of a step that took less is passed over, in seconds.
_WORTH_TELLING = 0.1


def is_noise(event: BuildEvent) -> bool:
    """Whether a person need not see it."""
    return bool(_NOISE.match(event.title)) and not (isinstance(event, StepEnded) and event.error)


def short(title: str) -> str:
    """A title on one line."""
    line = " ".join(title.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"


def ending(event: StepEnded) -> str:
    """`✓ 2.1s title`, or how else it ended."""
    if event.error:
        return f"✗ {short(event.title)}"
    return f"= cached {short(event.title)}" if event.cached else f"✓ {event.seconds:5.1f}s {short(event.title)}"


def part_of(event: StepProgress) -> str:
    """`pushing layers  12.3/45.6 MB  0.6s`, with what is known."""
    size = f"{event.done / 1e6:.1f}"
    size = f"  {size}/{event.total / 1e6:.1f} MB" if event.total else f"  {size} MB" if event.done >= 1e5 else ""
    return f"{short(event.what)}{size}  {event.seconds:.1f}s"


def line_of(event: BuildEvent) -> str | None:
    """What a log says of an event; None for what it passes over."""
    if is_noise(event):
        return None
    if isinstance(event, StepOutput):
        return f"    {event.line}"
    if isinstance(event, StepProgress):
        return f"    {part_of(event)}" if event.ended and event.seconds >= _WORTH_TELLING else None
    return f"  {ending(event)}" if isinstance(event, StepEnded) else None
