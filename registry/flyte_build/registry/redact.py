"""What a registry says, made fit to be shown: no signed URLs, no passwords in URLs, no terminal escapes."""

from __future__ import annotations

import re

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s\"'<>]+")
_USER = re.compile(r"(?<=://)[^/?#]*@")
_VALUE = re.compile(r"=[^&;#]*")


def redact_url(url: str) -> str:
    """The URL without user information, fragment and query *values*; a query that has no keys goes altogether."""
    head, question, query = _USER.sub("", url.partition("#")[0]).partition("?")
    if not question:
        return head
    return f"{head}?{_VALUE.sub('=…', query) if '=' in query else '…'}"


def bare_url(url: str) -> str:
    """The URL without user information, query and fragment: where something is, and nothing else."""
    return _USER.sub("", url.partition("#")[0].partition("?")[0])


def plain(text: str, limit: int = 200) -> str:
    """One line of at most `limit` printable characters, its URLs redacted."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: limit * 8]).split())
    line = _URL.sub(lambda match: redact_url(match.group()), line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
