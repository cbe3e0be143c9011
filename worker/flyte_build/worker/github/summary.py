"""What the job's summary says: a table of images. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_HEAD = "| image | digest | size | cache hits | time | signed | why |\n| --- | --- | --- | --- | --- | --- | --- |\n"
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image. `size` is in bytes, `seconds` of the build; None where there is none. `cached` of `steps` steps.

    `signed`: it has a signature; None where that cannot be told.
    """

    name: str
    status: str
    pinned: str = ""
    size: int | None = None
    cached: int = 0
    steps: int = 0
    seconds: float | None = None
    signed: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What ended it: one sentence, what to change, and the last lines of the step that failed."""

    sentence: str
    hint: str = ""
    log: Sequence[str] = ()


def summary(rows: Sequence[Row], failure: Failure | None = None) -> str:
    """Markdown."""
    text = "### flyte-build\n\n"
    if rows:
        text += _HEAD + "".join(_line(row) for row in rows) + "\n"
    return text + (_told(failure) if failure else "")


def _told(failure: Failure) -> str:
    text = f"**Failed**: {_cell(failure.sentence)}\n\n"
    if failure.hint:
        text += f"What to do: {_cell(failure.hint)}\n\n"
    if failure.log:
        # Four blanks before every line: nothing in it can end the block, as it could a fence.
        text += "".join(f"    {line}\n" for line in failure.log) + "\n"
    return text


def _line(row: Row) -> str:
    repository, _, digest = row.pinned.partition("@")
    cells = (
        f"**{_cell(row.name)}** {row.status}",
        f"`{_code(repository)}@{_code(digest)}`" if digest else "-",
        f"{row.size / _MEBIBYTE:.1f} MiB" if row.size is not None else "-",
        f"{row.cached} of {row.steps}" if row.steps else "-",
        f"{row.seconds:.1f} s" if row.seconds else "-",
        {True: "yes", False: "no", None: "-"}[row.signed],
        _cell(row.why) or "-",
    )
    return f"| {' | '.join(cells)} |\n"


def _code(text: str) -> str:
    return "".join(character for character in text if character.isprintable() and character not in "`|")


def _cell(text: str) -> str:
    """Text in a table's cell: neither another column nor markup of its own."""
    line = "<br>".join(part.strip() for part in text.strip().splitlines())
    for mark in "\\`*_[]|":
        line = line.replace(mark, f"\\{mark}")
    return (
        line.replace("&", "&amp;").replace("<br>", "\0").replace("<", "&lt;").replace(">", "&gt;").replace("\0", "<br>")
    )
