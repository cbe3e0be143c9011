"""What BuildKit says while it builds: `--progress=rawjson`, decoded into build events.

Each document is a `SolveStatus` (BuildKit `client/graph.go`) with vertexes, statuses and base64 log chunks. The
stream is concatenated documents, indented over several lines in Buildx 0.13, so documents are cut by a decoder and
not by lines; text between them (Buildx's own warnings and final error) is kept as `prose`.
"""

from __future__ import annotations

import base64
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from flyte_build.builder.engine import BuildEvent, StepEnded, StepOutput, StepProgress, StepStarted

_KEPT_LINES = 40
_LONGEST_LINE = 8_192
_LONGEST_PART = 200
# Seconds between two words about the same part.
_TELL_EVERY = 0.5
_OVER = float("inf")
_LARGEST_DOCUMENT = 32 << 20
# ECMA-48: CSI sequences, OSC strings, and the escapes of two or three characters.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-~])")
# Control characters, and the marks that turn text around (Unicode TR9), which can make it look like other text.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FORGIVEN = "importing cache manifest"
_POSITION = re.compile(r"\[(?:(?P<platform>linux/\S+) )?(?:(?P<stage>\S+) )?\s*(?P<number>\d+)/\d+\] ")
# An image of a Dockerfile, which is handed to BuildKit by name (`dockerfile.named_images`).
_NAMED_IMAGE = re.compile(r"\[context (?P<name>\S+)\] (?!load )")


def plain(line: str) -> str:
    """A line without terminal escapes and control characters: what a step prints is hostile text.

    Of what overwrites itself, as progress bars do, the last is kept.
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", line.rstrip("\r\n").rpartition("\r")[2]))


class Documents:
    """Cuts a byte stream into JSON documents; what is between them is prose."""

    def __init__(self) -> None:
        self._text = ""
        self._decoder = json.JSONDecoder()
        self.prose: deque[str] = deque(maxlen=_KEPT_LINES)

    def feed(self, text: str) -> Iterator[dict[str, Any]]:
        """The documents that `text` completes."""
        self._text += text
        while self._text:
            self._text = self._text.lstrip()
            document, end = self._document()
            if document is not None:
                self._text = self._text[end:]
                yield document
            elif not self._next_line():
                return

    def _document(self) -> tuple[dict[str, Any] | None, int]:
        if not self._text.startswith("{"):
            return None, 0
        try:
            return self._decoder.raw_decode(self._text)
        except json.JSONDecodeError:
            return None, 0

    def _next_line(self) -> bool:
        """Put a line that cannot be a document aside; whether there was one."""
        line, newline, rest = self._text.partition("\n")
        if len(self._text) < _LARGEST_DOCUMENT and (not newline or _may_be_document(self._text)):
            return False
        self.prose.append(plain(line[:_LONGEST_LINE]))
        self._text = rest
        return True

    def close(self) -> None:
        """The stream ended; what is left is prose."""
        self.prose.extend(plain(line) for line in self._text.splitlines() if line.strip())
        self._text = ""


def _may_be_document(text: str) -> bool:
    """Whether more text could make it one: BuildKit's begin with a key of its own, or are empty."""
    return re.match(r'\{\s*("|\}|$)', text) is not None


class Narrator:
    """Turns solve statuses into build events, and remembers what failed."""

    def __init__(self, titles: tuple[str, ...], sink: Callable[[BuildEvent], None]) -> None:
        self._titles = titles
        self._sink = sink
        self._names: dict[str, str] = {}
        self._started: set[str] = set()
        self._ended: set[str] = set()
        self._partial: dict[str, bytes] = {}
        self._lines: dict[str, deque[str]] = {}
        self._told: dict[tuple[str, str], float] = {}
        self.failed: tuple[str, str, tuple[str, ...]] | None = None

    def hear(self, status: dict[str, Any]) -> None:
        """One decoded `SolveStatus`."""
        for vertex in status.get("vertexes") or ():
            self._names[vertex["digest"]] = self._title(str(vertex.get("name", "")))
            self._start(vertex)
        for chunk in status.get("logs") or ():
            self._log(chunk["vertex"], base64.b64decode(chunk.get("data") or ""))
        for part in status.get("statuses") or ():
            self._progress(part)
        for vertex in status.get("vertexes") or ():
            self._end(vertex)

    def _start(self, vertex: dict[str, Any]) -> None:
        digest = vertex["digest"]
        if vertex.get("started") and digest not in self._started:
            self._started.add(digest)
            self._sink(StepStarted(title=self._names[digest]))

    def _end(self, vertex: dict[str, Any]) -> None:
        digest = vertex["digest"]
        if not vertex.get("completed") or digest in self._ended:
            return
        self._ended.add(digest)
        if self._partial.get(digest):
            self._print(digest, self._partial.pop(digest))
        title, error = self._names[digest], str(vertex.get("error") or "")
        if error and title.startswith(_FORGIVEN):
            # BuildKit goes on without: most often nothing has been cached there yet.
            self._print(digest, f"nothing is taken from it: {error}".encode())
            error = ""
        if error and self.failed is None and "context canceled" not in error:
            self.failed = (title, error, tuple(self._lines.get(digest, ())))
        cached = bool(vertex.get("cached"))
        seconds = 0.0 if cached else _seconds(vertex.get("started"), vertex["completed"])
        self._sink(StepEnded(title=title, seconds=seconds, cached=cached, error=error))

    def _progress(self, part: dict[str, Any]) -> None:
        """BuildKit tells each part many times a second; a reader needs its end, and now and then how far it is."""
        key, ended = (part["vertex"], str(part["id"])), bool(part.get("completed"))
        seconds = _seconds(part.get("started"), part.get("completed") or part["timestamp"])
        if self._told.get(key, 0.0) is _OVER or (not ended and seconds - self._told.get(key, 0.0) < _TELL_EVERY):
            return
        self._told[key] = _OVER if ended else seconds
        self._sink(
            StepProgress(
                title=self._names.get(part["vertex"], ""),
                what=plain(key[1])[:_LONGEST_PART],
                done=int(part.get("current") or 0),
                total=int(part.get("total") or 0),
                seconds=seconds,
                ended=ended,
            )
        )

    def _log(self, digest: str, data: bytes) -> None:
        # Chunks end anywhere, also within a character; lines do not.
        lines = (self._partial.pop(digest, b"") + data).split(b"\n")
        self._partial[digest] = lines.pop()[-_LONGEST_LINE:]
        for line in lines:
            self._print(digest, line)

    def _print(self, digest: str, data: bytes) -> None:
        line = plain(data.decode(errors="replace"))[:_LONGEST_LINE]
        self._lines.setdefault(digest, deque(maxlen=_KEPT_LINES)).append(line)
        self._sink(StepOutput(title=self._names.get(digest, ""), line=line))

    def _title(self, name: str) -> str:
        """Ours for a step of the plan: BuildKit numbers what runs in the last stage, the base being 1.

        A Dockerfile's own steps keep their names: where the base is a named image, 1 is the first step after it.
        """
        if image := _NAMED_IMAGE.match(name):
            return plain(f"image {image['name']}")
        match = _POSITION.match(name)
        if match is None or match["stage"] == "recipe":
            return plain(name)
        number = int(match["number"]) - 2
        if number < 0 and name.startswith("FROM ", match.end()):
            return "base image"
        platform = f" ({match['platform']})" if match["platform"] else ""
        return f"{self._titles[number]}{platform}" if 0 <= number < len(self._titles) else plain(name)


def _seconds(started: str | None, completed: str) -> float:
    if not started:
        return 0.0
    return max(0.0, (_moment(completed) - _moment(started)).total_seconds())


def _moment(text: str) -> datetime:
    """RFC 3339 with nanoseconds, which Python 3.10 does not read."""
    match = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d*)?", text)
    if match is None:
        return datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return datetime.fromisoformat(f"{match[1]}.{(match[2] or '0').ljust(6, '0')}+00:00")
