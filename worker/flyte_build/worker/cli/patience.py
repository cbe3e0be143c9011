"""A word to whoever waits: what takes long before a build begins (many files, a slow registry) says so."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

FIRST, THEN = 2.0, 5.0


@contextmanager
def patience(what: str, *, mode: str, first: float = FIRST, then: float = THEN) -> Iterator[None]:
    """While the block runs: `what` on stderr after `first` seconds and every `then` seconds, with the time it took.

    Nothing with `mode` quiet, or json, whose stderr is for programs.
    """
    if mode in ("quiet", "json"):
        yield
        return
    started, over = time.monotonic(), threading.Event()

    def speak() -> None:
        wait = first
        while not over.wait(wait):
            click.echo(f"{what} ({time.monotonic() - started:.0f} s)…", err=True)
            wait = then

    speaker = threading.Thread(target=speak, name="patience", daemon=True)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()
