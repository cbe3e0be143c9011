"""The sentences that several rooms of the bundler share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flyte_build.registry.errors import InvalidTree


def size_of(count: int) -> str:
    """Bytes as a person reads them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


LEAVE_OUT = "leave it out by a line in .flyteignore"


def refuse_secrets(found: Sequence[str]) -> InvalidTree:
    """The error for likely secrets, each `path (what it is)`."""
    first = found[0].rpartition(" (")[0]
    shown = ", ".join(found[:10]) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
    return InvalidTree(
        f"this looks like a secret and would leave this machine: {shown}",
        hint=f"{LEAVE_OUT}; if it is meant to travel, name it without wildcards: --include {first}",
    )


def too_large(sentence: str, largest: Iterable[tuple[str, int]]) -> InvalidTree:
    """The error for a tree or archive over its limit, with its `largest` files (path, bytes)."""
    named = ", ".join(f"{path} ({size_of(size)})" for path, size in largest)
    return InvalidTree(
        f"{sentence}; the largest are {named}",
        hint="leave them out by lines in .flyteignore, or allow more with --max-size",
    )


def changed(path: str) -> InvalidTree:
    """The error for a file that is not what it was a moment ago."""
    return InvalidTree(f"{path} changed while it was read", hint="run the command again when nothing writes to it")
