"""Text of the user's -> text of a Dockerfile, as BuildKit's parser reads it back. Pure.

Three readers stand between the two: the line reader (a backslash at a line's end continues it, a line may hold 64
KiB), the words of an instruction (quotes, backslashes and `$NAME`; Dockerfile reference, "Environment replacement"),
and for the source of a COPY a pattern (Go's `path/filepath.Match`), which is never given a name that could be one.
"""

from __future__ import annotations

import json
import re

# BuildKit reads lines of up to 64 KiB; a character takes 6 bytes at most in JSON.
_PIECE = 8_192
# Declared where an environment value needs it, and given to BuildKit from outside.
NEWLINE = "__LINE_BREAK__"


def exec_form(*argv: str) -> str:
    """The JSON form of RUN: nothing in `argv` is expanded, and no line of it can become an instruction."""
    return f"[{', '.join(_json(text) for text in argv)}]"


def _json(text: str) -> str:
    """A JSON string, over several lines when it is long.

    A continued line that begins with `#` would be a comment and one of blanks would be dropped, and a line that
    ends with two backslashes is not continued: the characters beside a break are written as escapes.
    """
    if len(text) <= _PIECE:
        return json.dumps(text, ensure_ascii=False)
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return (
        '"' + "\\\n".join(_escaped(piece[0]) + _inner(piece[1:-1]) + _escaped(piece[1:][-1:]) for piece in pieces) + '"'
    )


def _inner(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _escaped(character: str) -> str:
    return f"\\u{ord(character):04x}" if character and ord(character) < 0x10000 else character


def expanded(value: str) -> str:
    """A word in double quotes in which `$NAME` is expanded; `\\$` is a dollar sign.

    A line break, which no word can hold, is the value of the argument NEWLINE.
    """
    *lines, last = value.split("\n")
    # A dollar sign before a break has no name, and must not find one in ours.
    apart = [re.sub(r"(?<!\\)\$$", r"\\$", line) for line in lines]
    return '"' + f"${{{NEWLINE}}}".join(map(_expanded_line, (*apart, last))) + '"'


def _expanded_line(text: str) -> str:
    return re.sub(r"\\(?!\$)", r"\\\\", text).replace('"', '\\"')


def literal(path: str) -> str:
    """A word in double quotes that means exactly `path`."""
    return '"' + re.sub(r'([\\"$])', r"\\\1", path) + '"'


def copy_arguments(source: str, to: str) -> str:
    """The JSON form of COPY, where `$` would still be expanded. `source` has none of `*?[\\`: it is a pattern too."""
    return json.dumps([_unexpanded(source), _unexpanded(to)], ensure_ascii=False)


def _unexpanded(text: str) -> str:
    return re.sub(r"([\\$'\"])", r"\\\1", text)
