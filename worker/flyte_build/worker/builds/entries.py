"""Entries of a build's log: what happened, when, and to which step; each is one line of JSON where it is kept.

`{"at": 1795272533.7, "kind": "ended", "title": "pip packages", "seconds": 2.1}`; what is empty is left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepProgress, StepStarted
from flyte_build.worker.drivers.lines import line_of
from flyte_build.worker.stores.logs import clean

Kind = Literal["note", "started", "output", "progress", "ended"]
_KINDS = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened, at `at` (seconds since 1970).

    `text` is a note of the service, a line that a step printed, the part of a step that `progress` is about, or the
    error that a step ended with. `done` and `total` are bytes.
    """

    at: float
    kind: Kind
    title: str = ""
    text: str = ""
    seconds: float = 0.0
    cached: bool = False
    done: int = 0
    total: int = 0
    over: bool = False

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps({key: value for key, value in asdict(self).items() if value}, ensure_ascii=False)

    @classmethod
    def decode(cls, line: str) -> Entry:
        """The inverse; what a newer release may have added is passed over."""
        known = {field.name for field in fields(cls)}
        given = {key: value for key, value in json.loads(line).items() if key in known}
        if given.get("kind") not in _KINDS:
            given["kind"] = "note"
        return cls(**{"at": 0.0, **given})

    @property
    def event(self) -> BuildEvent | None:
        """What the engine said; None for a note."""
        if self.kind == "started":
            return StepStarted(title=self.title)
        if self.kind == "output":
            return StepOutput(title=self.title, line=self.text)
        if self.kind == "progress":
            how = {"done": self.done, "total": self.total}
            return StepProgress(title=self.title, what=self.text, seconds=self.seconds, ended=self.over, **how)
        if self.kind == "ended":
            return StepEnded(title=self.title, seconds=self.seconds, cached=self.cached, error=self.text)
        return None

    @property
    def line(self) -> str | None:
        """What a log for people says of it; None for what it passes over."""
        event = self.event
        return self.text if event is None else line_of(event)


def entry_of(event: BuildEvent, at: float) -> Entry:
    """The entry of what an engine said."""
    title = clean(event.title)
    if isinstance(event, StepStarted):
        return Entry(at=at, kind="started", title=title)
    if isinstance(event, StepOutput):
        return Entry(at=at, kind="output", title=title, text=clean(event.line))
    seconds = round(event.seconds, 3)
    if isinstance(event, StepProgress):
        return Entry(
            at=at,
            kind="progress",
            title=title,
            text=clean(event.what),
            seconds=seconds,
            done=event.done,
            total=event.total,
            over=event.ended,
        )
    return Entry(at=at, kind="ended", title=title, text=clean(event.error), seconds=seconds, cached=event.cached)
