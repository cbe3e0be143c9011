"""The pattern language of ignore files, exactly: gitignore(5) and git's `wildmatch`.

Pure. Paths and patterns are bytes, as git sees them: `?` is one byte. A pattern decides about the very path that it
matches; that everything below an ignored folder is out as well is the walk's business (`ignore`, `tree`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_CLASSES = {
    "alnum": rb"[0-9A-Za-z]",
    "alpha": rb"[A-Za-z]",
    "blank": rb"[ \t]",
    "cntrl": rb"[\x00-\x1f\x7f]",
    "digit": rb"[0-9]",
    "graph": rb"[\x21-\x7e]",
    "lower": rb"[a-z]",
    "print": rb"[\x20-\x7e]",
    "punct": rb"[\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e]",
    "space": rb"[ \t\n\r\f\v]",
    "upper": rb"[A-Z]",
    "xdigit": rb"[0-9A-Fa-f]",
}
_NEVER = "(?!)"
_SPECIAL = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One line: what it matches, and whether it ignores or (`negated`) takes back.

    `by_name` patterns have no slash and match the last part of a path; the others match the path from the folder of
    their file. `regex` is matched in full.
    """

    text: str
    line: int
    negated: bool
    folders_only: bool
    by_name: bool
    regex: re.Pattern[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFile:
    """The patterns of one file, and where it lies seen from the tree's root.

    A file inside the tree skips `skip` bytes of a path (its folder and a slash); one in a folder above puts `above`
    (the way from there down to the root, with its slash) before the path.
    """

    source: str
    patterns: tuple[Pattern, ...]
    skip: int = 0
    above: bytes = b""
    # Most paths match nothing: one alternation per kind says so at once.
    _names: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _paths: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", _any(p for p in self.patterns if p.by_name))
        object.__setattr__(self, "_paths", _any(p for p in self.patterns if not p.by_name))

    def decide(self, path: bytes, *, folder: bool) -> Pattern | None:
        """The last pattern that matches `path` (relative to the root), which is a folder or not."""
        path = self.above + path[self.skip :]
        name = path[path.rfind(b"/") + 1 :]
        if not self._names.fullmatch(name) and not self._paths.fullmatch(path):
            return None
        for pattern in reversed(self.patterns):
            if pattern.folders_only and not folder:
                continue
            if pattern.regex.fullmatch(name if pattern.by_name else path):
                return pattern
        return None


def _any(patterns: Iterable[Pattern]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(b"(?:%s)" % p.regex.pattern for p in patterns) or _NEVER.encode(), re.DOTALL)


def parse_lines(data: bytes) -> tuple[Pattern, ...]:
    """The patterns of an ignore file: comments, blank lines, a byte order mark and carriage returns are git's."""
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    parsed = (parse_line(line.removesuffix(b"\r"), number) for number, line in enumerate(lines, 1))
    return tuple(pattern for pattern in parsed if pattern is not None)


def parse_line(line: bytes, number: int = 1) -> Pattern | None:
    """One line, or None for a blank or a comment. A pattern that git finds malformed matches nothing."""
    if not line or line.startswith(b"#"):
        return None
    # Latin-1 keeps every byte one character, so that the pattern is read byte by byte.
    text = _trim(line.decode("latin-1"))
    negated = text.startswith("!")
    body = text[1:] if negated else text
    folders_only = body.endswith("/")
    body = body[:-1] if folders_only else body
    by_name = "/" not in body
    regex = re.compile(_translate(body.removeprefix("/")).encode("latin-1"), re.DOTALL)
    return Pattern(
        text=line.decode(errors="replace").rstrip(),
        line=number,
        negated=negated,
        folders_only=folders_only,
        by_name=by_name,
        regex=regex,
    )


def _trim(text: str) -> str:
    """Without trailing spaces, save those that a backslash keeps."""
    end, i = 0, 0
    while i < len(text):
        step = 2 if text[i] == "\\" else 1
        if text[i] != " ":
            end = i + step
        i += step
    return text[:end]


def _translate(glob: str) -> str:
    """A regular expression for one glob, matching as `wildmatch` with WM_PATHNAME does."""
    out, i = [], 0
    while i < len(glob):
        char = glob[i]
        if char == "*":
            end = i
            while glob[end : end + 1] == "*":
                end += 1
            part, i = _stars(glob, i, end)
        elif char == "?":
            part, i = "[^/]", i + 1
        elif char == "[":
            part, i = _bracket(glob, i + 1)
        elif char == "\\":
            part, i = (re.escape(glob[i + 1]) if i + 1 < len(glob) else _NEVER), i + 2
        else:
            part, i = re.escape(char), i + 1
        out.append(part)
    return "".join(out)


def _stars(glob: str, start: int, end: int) -> tuple[str, int]:
    # git compares a plain beginning on its own and starts its matcher after it: `a**/b` is to it `a` and then `**/b`.
    begins = not _SPECIAL.search(glob, 0, start) or glob[start - 1] == "/"
    ends = glob[end : end + 1] in ("", "/") or glob[end : end + 2] == "\\/"
    if end - start == 1 or not (begins and ends):
        return "[^/]*", end
    if glob[end : end + 1] == "/":
        return "(?:.*/)?", end + 1
    return ".*", end


def _bracket(glob: str, i: int) -> tuple[str, int]:
    """The set that starts after `[` at `i`, and where it ends. Without an end it matches nothing, as in git."""
    negated = glob[i : i + 1] in ("!", "^")
    i += negated
    members: set[int] = set()
    previous: int | None = None
    first = True
    while first or glob[i : i + 1] != "]":
        first = False
        item = _CLASS.match(glob, i)
        if item and item["name"] not in _CLASSES:
            return _NEVER, len(glob)
        if item:
            members.update(c for c in range(256) if re.fullmatch(_CLASSES[item["name"]], bytes([c])))
            previous, i = None, item.end()
            continue
        ranged = glob[i : i + 1] == "-" and previous is not None and glob[i + 1 : i + 2] not in ("", "]")
        i += ranged
        i += glob[i : i + 1] == "\\"
        if i >= len(glob):
            return _NEVER, len(glob)
        code = ord(glob[i])
        members.update(range(previous, code + 1) if ranged and previous is not None else (code,))
        previous, i = None if ranged else code, i + 1
    chosen = (set(range(256)) - members if negated else members) - {ord("/")}
    return ("[" + "".join(f"\\x{code:02x}" for code in sorted(chosen)) + "]" if chosen else _NEVER), i + 1


_CLASS = re.compile(r"\[:(?P<name>[^\]]*):\]")
