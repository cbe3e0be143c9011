"""Why `uv pip compile` found no versions: uv's words, cut to the cause, and what the reader can change. Pure."""

from __future__ import annotations

import re

from flyte_build.registry.redact import bare_url, plain

_LONGEST = 600
# How the parts of an explanation begin, and what else is drawn around it.
_PART = re.compile(r"(?:error:|cause:|Caused by:|\u00d7|\u2570\u2500\u25b6)\s*")
_DRAWN = " \u2502"
_REQUIRED = re.compile(r"you require (?!one of)(\S+)(?: and (\S+), we)?")
_CONCLUSION = ", we can conclude that your requirements are unsatisfiable"


def unresolved(stderr: str, index: str | None) -> tuple[str, str]:
    """The cause and the hint. `index` is the URL that was asked, None for uv's own; its credentials are not shown."""
    parts = _parts(stderr)
    if not parts:
        return "uv said nothing", ""
    asked = f"the index that was asked is {bare_url(index)}" if index else ""
    if parts[0].startswith("No solution found"):
        cause = " ".join(parts[1:]).replace(_CONCLUSION, "")
        correct = f"correct {required}" if (required := _required(parts[1:])) else "correct the requirements"
        return plain(cause.rstrip("."), _LONGEST), "; ".join(filter(None, (correct, asked)))
    first = next((part for part in parts if part.startswith("Failed to fetch")), parts[0])
    cause = plain(first if first == parts[-1] else f"{first}: {parts[-1]}", _LONGEST)
    if not first.startswith("Failed to fetch"):
        return cause, ""
    check = "check the network, and the index: PIP_INDEX_URL, or `index_url` of the layer"
    return cause, "; ".join(filter(None, (check, asked)))


def _parts(stderr: str) -> list[str]:
    """The sentences of an explanation, each on one line."""
    parts: list[str] = []
    for drawn in stderr.splitlines():
        line = drawn.strip(_DRAWN)
        begun = _PART.match(line)
        if begun or not parts:
            parts.append(line[begun.end() if begun else 0 :])
        else:
            parts[-1] = f"{parts[-1]} {line}".strip()
    return [part for part in parts if part]


def _required(parts: list[str]) -> str:
    found = [name.rstrip(",.") for pair in _REQUIRED.findall(" ".join(parts)) for name in pair if name]
    return " and ".join(f"`{name}`" for name in dict.fromkeys(found))
