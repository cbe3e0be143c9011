"""The instructions of a Dockerfile: lines joined, comments and here-documents left out, variables of FROM. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flyte_build.registry.errors import InvalidInput

_DIRECTIVE = re.compile(r"#\s*(?P<name>[a-zA-Z][a-zA-Z0-9]*)\s*=\s*(?P<value>.+?)\s*")
_HEREDOC = re.compile(r"(?<!<)<<(?P<dash>-?)(?P<quote>[\"']?)(?P<word>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)")
# What BuildKit has built in, at whatever version; others are programs that a registry would have to give.
_OWN_FRONTEND = re.compile(r"(docker\.io/)?docker/dockerfile(:1(\.[0-9]+)*)?(@sha256:[0-9a-f]{64})?")
_VARIABLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?::?(?P<how>[-+])(?P<other>[^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction by its name in capitals, what follows it, and the line that it begins on."""

    name: str
    rest: str
    number: int


def without_frontend(text: str) -> str:
    """The text without a `# syntax=` line that names what is built in. InvalidInput for another frontend."""
    kept: list[str] = []
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            return "".join(kept + lines[number:])
        if match["name"].lower() != "syntax":
            kept.append(line)
        elif not _OWN_FRONTEND.fullmatch(match["value"]):
            raise InvalidInput(
                f"line {number + 1} of the Dockerfile wants the frontend {match['value']!r}, which would be pulled",
                hint="remove the line; the builder's own frontend is used",
            )
    return "".join(kept)


def instructions(text: str) -> Iterator[Instruction]:
    """Every instruction in order. InvalidInput when the last one is not ended."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    number = 0
    while number < len(lines):
        start, joined = number, ""
        while number < len(lines):
            line = lines[number].strip()
            number += 1
            if line.startswith("#") or (not line and joined):
                continue
            if not line.endswith(escape):
                joined += line
                break
            joined += line[:-1]
        else:
            if joined.strip():
                raise InvalidInput(f"the Dockerfile ends within the instruction of line {start + 1}")
        if joined.strip():
            name, _, rest = joined.strip().partition(" ")
            number = _after_heredocs(name.upper(), rest, lines, number)
            yield Instruction(name.upper(), rest.strip(), start + 1)


def _escape(lines: list[str]) -> str:
    for line in lines:
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            return "\\"
        if match["name"].lower() == "escape":
            return match["value"]
    return "\\"


def _after_heredocs(name: str, rest: str, lines: list[str], number: int) -> int:
    if name not in ("RUN", "COPY", "ADD"):
        return number
    for match in _HEREDOC.finditer(rest):
        while number < len(lines):
            line = lines[number].lstrip("\t") if match["dash"] else lines[number]
            number += 1
            if line == match["word"]:
                break
        else:
            raise InvalidInput(f"the here-document {match['word']} of the Dockerfile is not ended")
    return number


def expand(text: str, values: Mapping[str, str], number: int) -> str:
    """`text` with the variables of FROM and `--from`. Raises InvalidInput for one without a value."""

    def value(match: re.Match[str]) -> str:
        name = match["plain"] or match["name"]
        known = values.get(name, "")
        if match["how"] == "+":
            return (match["other"] or "") if known else ""
        found = known or (match["other"] or "")
        if not found:
            raise InvalidInput(
                f"line {number} of the Dockerfile takes ${name}, which has no value before the first FROM"
            )
        return found

    return _VARIABLE.sub(value, text)
