"""Docker's ignore files (Dockerfile reference, ".dockerignore file"; moby's `patternmatcher`). Pure.

A pattern is anchored at the folder of the file, unlike gitignore's; `**` crosses folders, `!` takes back, the last
pattern that matches a path or one of its folders wins.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

from flyte_build.registry.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Dockerignore:
    """Patterns in order: (regular expression of a whole path, whether it takes back)."""

    patterns: tuple[tuple[re.Pattern[str], bool], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Dockerignore:
        """Of the text of an ignore file. Raises InvalidInput for a pattern that is none, with its line."""
        patterns = []
        for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
            pattern = line.strip()
            if not pattern or line.startswith("#"):
                continue
            back = pattern.startswith("!")
            cleaned = posixpath.normpath(pattern.removeprefix("!").strip()).lstrip("/")
            if cleaned in ("", "."):
                if back:
                    raise InvalidInput(f"line {number} of the dockerignore, {pattern!r}, takes nothing back")
                continue
            patterns.append((_compiled(cleaned, number), back))
        return cls(tuple(patterns))

    def excludes(self, path: str) -> bool:
        """Whether `path` (posix, relative to the ignore file's folder) is left out."""
        parts = path.split("/")
        ways = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
        left_out = False
        for pattern, back in self.patterns:
            if left_out == back and any(pattern.fullmatch(way) for way in ways):
                left_out = not back
        return left_out

    @property
    def takes_back(self) -> bool:
        """Whether any pattern takes back: then a folder that is left out may still hold files that are not."""
        return any(back for _, back in self.patterns)


def _compiled(pattern: str, line: int) -> re.Pattern[str]:
    try:
        return re.compile(translated(pattern), re.DOTALL)
    except (re.error, ValueError) as error:
        raise InvalidInput(f"line {line} of the dockerignore, {pattern!r}, is not a pattern") from error


_PIECE = re.compile(r"\*\*/?|\*|\?|\[(?P<not>\^?)(?P<set>(?:\\.|[^\]\\])+)\]|\\(?P<escaped>.)|(?P<plain>.)", re.DOTALL)


def translated(pattern: str) -> str:
    """Go's `filepath.Match` pattern with `**` -> regular expression; ValueError for one that is malformed."""
    out, place = [], 0
    while place < len(pattern):
        match = _PIECE.match(pattern, place)
        if match is None or match["plain"] in ("[", "\\"):
            raise ValueError(pattern)
        place = match.end()
        out.append(_piece(match, at_end=place == len(pattern)))
    return "".join(out)


def _piece(match: re.Match[str], *, at_end: bool) -> str:
    text = match[0]
    if text.startswith("**"):
        return ".*" if at_end else "(?:.*/)?"
    if text == "*":
        return "[^/]*"
    if text == "?":
        return "[^/]"
    if match["set"] is not None:
        inside = re.sub(r"\\(.)|([\[\]^&~|])", lambda one: re.escape(one[1] or one[2]), match["set"])
        return f"[{'^/' if match['not'] else ''}{inside}]"
    return re.escape(match["escaped"] or match["plain"])
