"""Logs as files: appended while they happen, bounded, and cleaned, because they are hostile text."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

MAX_LOG = 64 * 2**20
_CHUNK = 256 * 1024
# ECMA-48: control sequences (CSI), strings (OSC, DCS, SOS, PM, APC, ended by BEL or ST), and two-byte escapes.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """`text` without terminal escapes and control characters; a bare carriage return begins a new line.

    Names of files may hold bytes that are no text, which no database and no wire takes: they become `?`.
    """
    text = text.encode(errors="replace").decode()
    return _CONTROLS.sub("", _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of a log without its end; `at` is seconds since 1970 or None, `ours` says that the service wrote it."""

    at: float | None
    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Lines of a log, and the position to go on from."""

    position: int
    lines: tuple[Line, ...]


class LogView(Protocol):
    """A log, wherever it is kept. `bell` is what rings when it grew, or empty."""

    bell: str

    def read(self, position: int) -> Portion:
        """The next lines after a position, 0 being the beginning; the same position again when there are none yet."""
        ...

    def tail(self, limit: int) -> str:
        """The last lines, at most `limit` bytes of them."""
        ...


class LogFileView:
    """A log in a file, as `LogView`; positions are byte offsets."""

    bell = ""

    def __init__(self, log: LogFile) -> None:
        self._log = log

    def read(self, position: int) -> Portion:
        """As `LogView.read`."""
        data = self._log.read(position, _CHUNK)
        whole = data[: data.rfind(b"\n") + 1] or data
        lines = tuple(Line(at=None, text=line) for line in whole.decode(errors="replace").splitlines())
        return Portion(position=position + len(whole), lines=lines)

    def tail(self, limit: int) -> str:
        """As `LogView.tail`."""
        return self._log.tail(limit)


class LogFile:
    """One log. Positions are byte offsets in the file, and only whole lines are ever written."""

    def __init__(self, path: Path, limit: int = MAX_LOG) -> None:
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()

    def start(self) -> None:
        """Empties the log."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(b"")

    def append(self, text: str) -> None:
        """Adds one or more lines; when the log is full it says so once and forgets the rest."""
        line = clean(text.rstrip("\r\n")) + "\n"
        data = line.encode(errors="replace")
        with self._lock:
            size = self.size
            if size >= self._limit:
                return
            if size + len(data) > self._limit:
                data = f"[the log is longer than {self._limit} bytes; the rest is not kept]\n".encode()
                data = data.rjust(self._limit - size, b" ")
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(data)

    @property
    def size(self) -> int:
        """Bytes so far."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset`."""
        try:
            with self._path.open("rb") as file:
                file.seek(offset)
                return file.read(limit)
        except FileNotFoundError:
            return b""

    def tail(self, limit: int) -> str:
        """The last lines of the log, at most `limit` bytes of them."""
        start = max(0, self.size - limit)
        text = self.read(start, limit).decode(errors="replace")
        return text.partition("\n")[2] if start else text
