"""How a build looks while it runs, on stderr: `auto` (live on a terminal, else plain), `plain`, `json`, `quiet`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial

import click

from flyte_build.builder.engine import BuildEvent, StepOutput, StepProgress, StepStarted, silent
from flyte_build.registry.errors import BuildFailed
from flyte_build.worker.drivers.lines import ending, is_noise, line_of, part_of, short

MODES = ("auto", "plain", "json", "quiet")
Sink = Callable[[BuildEvent], None]


@contextmanager
def progress(mode: str, *, image: str = "", err: bool = True) -> Iterator[Sink]:
    """A sink for the build events of one image, drawn as `mode` says until the block ends.

    On stderr, or on stdout (not `err`). `image` is the name that each event of `json` carries.
    """
    if mode == "quiet":
        yield silent
    elif mode == "json":
        with _seen():
            yield partial(_print_json, about={"image": image} if image else {}, err=err)
    elif mode == "plain" or not (sys.stderr if err else sys.stdout).isatty():
        with _seen():
            yield partial(_print_plain, err=err)
    else:
        with _live(err=err) as sink:
            yield sink


def _print_json(event: BuildEvent, *, about: dict[str, str], err: bool) -> None:
    if not is_noise(event):
        click.echo(json.dumps({"event": type(event).__name__, **about, **asdict(event)}), err=err)


@contextmanager
def _seen() -> Iterator[None]:
    """Every line of a failed step was printed when it came: not once more with the error."""
    try:
        yield
    except BuildFailed as error:
        error.shown = bool(error.step)
        raise


def _print_plain(event: BuildEvent, *, err: bool) -> None:
    line = line_of(event)
    if line is not None:
        click.echo(line, err=err)


@contextmanager
def _live(*, err: bool) -> Iterator[Sink]:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=err, highlight=False)
    running: dict[str, str] = {}
    with console.status(Text("starting…")) as status:

        def hear(event: BuildEvent) -> None:
            if is_noise(event):
                return
            if isinstance(event, StepStarted):
                running[event.title] = ""
            elif isinstance(event, StepOutput):
                running[event.title] = event.line.strip()
            elif isinstance(event, StepProgress):
                if event.title in running:
                    running[event.title] = part_of(event)
            elif running.pop(event.title, None) is not None or event.error:
                console.print(Text(f"  {ending(event)}"))
            title = next(iter(running), None)
            if title is not None:
                status.update(Text(f"{short(title)}  {running[title]}"[: console.width - 6], overflow="ellipsis"))

        yield hear
