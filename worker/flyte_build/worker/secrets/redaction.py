"""Takes values of secrets out of text that others read, also where they come in another coat. Pure.

A value is found as it is, line by line, quoted for URLs, JSON and shells, in hex, and in base64 wherever in the encoded
text it begins; and as a piece of at least eight characters at the beginning or the end of a line, which is what is left
where something folded it. What a step does to a secret on purpose (reversing it, say) nobody can see: a step that may
read a secret may also tell it.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

HIDDEN = "***"
# A shorter value is too likely to be an ordinary word of the log.
_LEAST = 6
_PIECE = 8
_MOST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Redactor:
    """Called with a text, gives it without secrets."""

    _whole: re.Pattern[str] | None = field(default=None, repr=False)
    _pieces: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, values: Iterable[str]) -> Redactor:
        """For these values; those shorter than six characters are left alone."""
        forms = sorted({form for value in values for form in _forms(value)}, key=lambda one: (-len(one), one))
        pieces: dict[str, list[tuple[str, int]]] = {}
        for form in forms:
            for start in range(len(form) - _PIECE + 1):
                pieces.setdefault(form[start : start + _PIECE], []).append((form, start))
        whole = re.compile("|".join(map(re.escape, forms))) if forms else None
        return cls(whole, {piece: tuple(places) for piece, places in pieces.items()})

    @classmethod
    def of_build(cls, files: Iterable[Path], urls: Iterable[str]) -> Redactor:
        """For what a build's secret files hold, and the passwords in URLs that its steps are told."""
        texts = (text for file in files if (text := _text(file)))
        return cls.of((*texts, *(password for url in urls if (password := _password(url)))))

    def __call__(self, text: str) -> str:
        """`text` with every form of a value replaced."""
        if self._whole is None or len(text) < _LEAST:
            return text
        return "\n".join(self._line(line) for line in self._whole.sub(HIDDEN, text).split("\n"))

    def _line(self, line: str) -> str:
        body = line.strip()
        if len(body) < _PIECE:
            return line
        if any(form.startswith(body, start) for form, start in self._pieces.get(body[:_PIECE], ())):
            return HIDDEN
        for form, start in self._pieces.get(body[:_PIECE], ()):
            if body.startswith(form[start:]):
                line = line.replace(form[start:], HIDDEN, 1)
        for form, start in self._pieces.get(body[-_PIECE:], ()):
            if body.endswith(form[: start + _PIECE]):
                return line.rstrip().removesuffix(form[: start + _PIECE]) + HIDDEN
        return line


def _forms(value: str) -> Iterable[str]:
    lines = (value, value.strip(), *map(str.strip, value.splitlines()))
    for plain in {line for line in lines if len(line) >= _LEAST}:
        data = plain.encode(errors="surrogateescape")
        yield plain
        yield urllib.parse.quote(plain, safe="", errors="replace")
        yield urllib.parse.quote_plus(plain, errors="replace")
        yield urllib.parse.quote(plain, errors="replace")
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield plain.replace("'", "'\"'\"'")
        yield data.hex()
        yield data.hex().upper()
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield from (core for shift in range(3) if len(core := _core(encode, data, shift)) >= _PIECE)


def _core(encode: Callable[[bytes], bytes], data: bytes, shift: int) -> str:
    """What base64 makes of `data` whatever stands before (`shift` bytes, modulo 3) and after it."""
    text = encode(bytes(shift) + data).decode()
    end = (shift + len(data)) * 8 // 6
    return text[-(-shift * 8 // 6) : end]


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _password(url: str) -> str:
    try:
        return urllib.parse.unquote(urllib.parse.urlsplit(url).password or "")
    except ValueError:
        return ""
