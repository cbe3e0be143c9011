"""What a workflow step can say to GitHub: commands on stdout, and lines in the files that it names.

Source: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Literal

Level = Literal["error", "warning", "notice"]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def annotation(level: Level, message: str, *, title: str = "", file: str = "", line: int = 0) -> str:
    """A remark that GitHub shows beside the line; `file` is relative to the workspace, `line` counts from 1."""
    fields = {"title": title, "file": file, "line": str(line) if file and line else ""}
    given = ",".join(f"{name}={_property(value)}" for name, value in fields.items() if value)
    return f"::{level}{' ' if given else ''}{given}::{_data(message)}"


def mask(secret: str) -> str:
    """From here on GitHub prints `***` for it."""
    return f"::add-mask::{_data(secret)}"


def stop_commands() -> tuple[str, str]:
    """What to print before and after hostile text: between them no line is a command. The word cannot be guessed."""
    word = f"flyte-build-{secrets.token_hex(16)}"
    return f"::stop-commands::{word}", f"::{word}::"


def output(name: str, value: str) -> str:
    """A line or lines for `GITHUB_OUTPUT`; the delimiter cannot be in the value."""
    word = f"flyte-build-{secrets.token_hex(16)}"
    return f"{name}<<{word}\n{value}\n{word}\n"


def append(file: str | None, text: str) -> None:
    """Adds to one of GitHub's files; nothing where GitHub names none."""
    if file:
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(text)
