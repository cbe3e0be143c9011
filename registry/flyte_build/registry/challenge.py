"""`WWW-Authenticate`, parsed (RFC 9110 sections 11.2, 11.3 and 11.6.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_WORD})(?=[\s,]|$)[ \t]*")
_PARAMETER = re.compile(rf'[\s,]*({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))(?=[\s,]|$)')
_OPAQUE = re.compile(r"[A-Za-z0-9._~+/-]+=*(?=[\s,]|$)")
_ESCAPE = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way in that a server offers: scheme and parameter names in lower case, values as sent."""

    scheme: str
    parameters: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The first parameter of that name, or an empty string."""
        return next((value for key, value in self.parameters if key == name), "")


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Every challenge of the header, in order; several headers may be joined with commas.

    What follows the first thing that is not a challenge is left out: a server's typo must not hide what came before.
    """
    found: list[Challenge] = []
    position = 0
    while scheme := _SCHEME.match(header, position):
        parameters, position = _parameters(header, scheme.end())
        found.append(Challenge(scheme.group(1).lower(), parameters))
    return tuple(found)


def _parameters(header: str, position: int) -> tuple[tuple[tuple[str, str], ...], int]:
    parameters: list[tuple[str, str]] = []
    while match := _PARAMETER.match(header, position):
        name, quoted, bare = match.groups()
        parameters.append((name.lower(), bare if quoted is None else _ESCAPE.sub(r"\1", quoted)))
        position = match.end()
    if not parameters and (token := _OPAQUE.match(header, position)):
        position = token.end()
    return tuple(parameters), position
