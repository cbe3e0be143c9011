"""`flyte-build image`, run here with `--json --progress json`, and what it says while it runs."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, fields

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepStarted
from flyte_build.worker.drivers.lines import is_noise, line_of

_EVENTS: dict[str, type[BuildEvent]] = {one.__name__: one for one in (StepStarted, StepEnded, StepOutput)}
# What the engine does around the steps that were asked for; it would make every count of cache hits a lie.
_OWN_WORK = re.compile(
    r"base image|image |exporting |importing |pushing |preparing |sending |inferring |\[auth\]"
    r"|fetching uv |listing what is |attaching what is |signing "
)


@dataclass(slots=True)
class Heard:
    """What was said of the images, by their names: counts of steps, sentences of `--why`, notes, how they ended."""

    image: str = ""
    steps: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    cached: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    why: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[str, str] = field(default_factory=dict)

    def hear(self, line: str) -> str | None:
        """Takes one line of stderr; what a person reads of it, if anything."""
        if not line.startswith("{"):
            return self._said(line)
        try:
            said = json.loads(line)
        except ValueError:
            return line
        name = str(said.pop("event", ""))
        if name in _EVENTS:
            return self._stepped(_EVENTS[name], said)
        if name == "ImageStarted":
            self.image = str(said.get("image", ""))
            return f"image {self.image}"
        if name == "ImageEnded":
            self.notes[str(said.get("image", ""))] += [str(note) for note in said.get("notes", ())]
            self.ended[str(said.get("image", ""))] = str(said.get("status", ""))
            return f"image {said.get('image')}: {said.get('status')}"
        return str(said.get("text", "")) if name == "Note" else None

    def _stepped(self, kind: type[BuildEvent], said: dict[str, object]) -> str | None:
        known = {one.name for one in fields(kind)}
        event = kind(**{key: value for key, value in said.items() if key in known})  # type: ignore[arg-type]
        image = str(said.get("image") or self.image)
        if isinstance(event, StepEnded) and not is_noise(event) and not _OWN_WORK.match(event.title):
            self.steps[image] += 1
            self.cached[image] += event.cached
        return line_of(event)

    def _said(self, line: str) -> str | None:
        if line.startswith("why "):
            name, _, sentence = line.removeprefix("why ").partition(": ")
            self.why[name].append(sentence)
        return line


class Lines(io.TextIOBase):
    """A stream that hands each whole line on."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self._heard = heard
        self._rest = ""

    def write(self, text: str, /) -> int:
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._heard(line)
        return len(text)


def run_image(argv: Sequence[str], heard: Callable[[str], None]) -> list[dict[str, object]]:
    """The images of its document. Raises what the command raises; exit code 3 (something is missing) is an answer."""
    # Imported when the command runs, as the command line does it.
    from flyte_build.worker.cli.image import image

    with _captured(heard) as answer:
        image.main(args=list(argv), prog_name="flyte-build image", standalone_mode=False)
    document = json.loads(answer.getvalue())
    return [one for one in document["images"] if isinstance(one, dict)]


@contextmanager
def _captured(heard: Callable[[str], None]) -> Iterator[io.StringIO]:
    answer = io.StringIO()
    with redirect_stdout(answer), redirect_stderr(Lines(heard)):
        yield answer
