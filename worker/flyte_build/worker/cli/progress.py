"""How a build looks while it runs, on stderr: `auto` (live on a terminal, else plain), `plain`, `json`, `quiet`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click

from flyte_build.builder.engine import BuildEvent, StepOutput, StepProgress, StepStarted
from flyte_build.registry.errors import BuildFailed
from flyte_build.worker.drivers.lines import ending, is_noise, line_of, part_of, short

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

MODES = ("auto", "plain", "json", "quiet")
# A text is a note of whoever builds, and printed as it is.
Sink = Callable[[BuildEvent | str], None]


@contextmanager
def progress(mode: str, *, image: str = "", err: bool = True) -> Iterator[Sink]:
    """A sink for the build events of one image, drawn as `mode` says until the block ends.

    On stderr, or on stdout (not `err`). `image` is the name that each event of `json` carries.
    """
    if mode == "quiet":
        yield lambda _: None
    elif mode == "json":
        with _seen():
            yield partial(_print_json, about={"image": image} if image else {}, err=err)
    elif mode == "plain" or not (sys.stderr if err else sys.stdout).isatty():
        with _seen():
            yield partial(_print_plain, err=err)
    else:
        with _live(err=err) as sink:
            yield sink


class Notes:
    """Sentences that come at any time, from any thread: where events are drawn while they are, else as `mode` says."""

    def __init__(self, mode: str) -> None:
        silent: Sink = lambda _: None  # noqa: E731
        alone: dict[str, Sink] = {"quiet": silent, "json": partial(_print_json, about={}, err=True)}
        self._alone = alone.get(mode, partial(_print_plain, err=True))
        self._sink = self._alone

    def __call__(self, sentence: str) -> None:
        """Says it."""
        self._sink(sentence)

    @contextmanager
    def through(self, sink: Sink) -> Iterator[None]:
        """While the block runs, by `sink`."""
        self._sink = sink
        try:
            yield
        finally:
            self._sink = self._alone


def _print_json(event: BuildEvent | str, *, about: dict[str, str], err: bool) -> None:
    if isinstance(event, str):
        click.echo(json.dumps({"event": "Note", **about, "text": event}), err=err)
    elif not is_noise(event):
        click.echo(json.dumps({"event": type(event).__name__, **about, **asdict(event)}), err=err)


@contextmanager
def _seen() -> Iterator[None]:
    """Every line of a failed step was printed when it came: not once more with the error."""
    try:
        yield
    except BuildFailed as error:
        error.shown = bool(error.step)
        raise


def _print_plain(event: BuildEvent | str, *, err: bool) -> None:
    line = event if isinstance(event, str) else line_of(event)
    if line is not None:
        click.echo(line, err=err)


@contextmanager
def _live(*, err: bool) -> Iterator[Sink]:
    from rich.console import Console

    console = Console(stderr=err, highlight=False)
    with console.status("starting…") as status:
        yield _Live(console, status)


class _Live:
    """What ended stays; of what runs, the oldest step is shown with its last word."""

    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status
        self._running: dict[str, str] = {}
        # What is done beside the engine's work speaks from a thread of its own.
        self._lock = threading.Lock()

    def __call__(self, event: BuildEvent | str) -> None:
        if isinstance(event, str):
            self._print(event)
        elif not is_noise(event):
            with self._lock:
                self._keep(event)
                self._update()

    def _keep(self, event: BuildEvent) -> None:
        if isinstance(event, StepStarted):
            self._running[event.title] = ""
        elif isinstance(event, StepOutput):
            self._running[event.title] = event.line.strip()
        elif isinstance(event, StepProgress):
            if event.title in self._running:
                self._running[event.title] = part_of(event)
            if (line := line_of(event)) is not None:
                self._print(line)
        elif self._running.pop(event.title, None) is not None or event.error:
            self._print(f"  {ending(event)}")

    def _update(self) -> None:
        from rich.text import Text

        title = next(iter(self._running), None)
        if title is not None:
            line = f"{short(title)}  {self._running[title]}"[: self._console.width - 6]
            self._status.update(Text(line, overflow="ellipsis"))

    def _print(self, line: str) -> None:
        from rich.text import Text

        self._console.print(Text(line))
