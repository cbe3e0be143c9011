"""Logs of builds, in the database: a worker writes them, and every endpoint can read them while they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from flyte_build.worker.builds.entries import Entry
from flyte_build.worker.builds.log_writer import BuildLog
from flyte_build.worker.database.schema import BuildLogRow
from flyte_build.worker.stores.logs import MAX_LOG, Line, Portion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database


def same(text: str) -> str:
    """Redacts nothing."""
    return text


def bell_of(build_id: str) -> str:
    """What rings when a log grew."""
    return f"log of {build_id}"


class BuildLogs:
    """The logs of all builds."""

    def __init__(self, database: Database, bell: Bell, clock: Callable[[], float], limit: int = MAX_LOG) -> None:
        self._database = database
        self._bell = bell
        self._clock = clock
        self._limit = limit

    def write(self, build_id: str, redact: Callable[[str], str] = same) -> BuildLog:
        """To append to the log of a build, as a context; `redact` takes out what nobody may read."""

        def put(entries: list[str]) -> None:
            self.append(build_id, entries)

        return BuildLog(put, self._clock, redact, self._limit - self.size(build_id))

    def append(self, build_id: str, entries: list[str]) -> None:
        """Adds encoded entries."""
        text = "\n".join(entries)
        with self._database.write() as session:
            session.add(BuildLogRow(build_id=build_id, bytes=len(text) + 1, entries=text))
        self._bell.ring(bell_of(build_id))

    def size(self, build_id: str) -> int:
        """Bytes so far."""
        with self._database.read() as session:
            return session.scalar(select(func.sum(BuildLogRow.bytes)).filter_by(build_id=build_id)) or 0

    def entries(self, build_id: str, after: int = 0, portions: int = 8) -> tuple[int, tuple[Entry, ...]]:
        """What was written after a position (0: from the first), and the position to go on from."""
        query = select(BuildLogRow.id, BuildLogRow.entries).filter_by(build_id=build_id).where(BuildLogRow.id > after)
        with self._database.read() as session:
            rows = session.execute(query.order_by(BuildLogRow.id).limit(portions)).all()
        found = (Entry.decode(line) for _, text in rows for line in text.split("\n") if line)
        return (rows[-1][0] if rows else after), tuple(found)

    def view(self, build_id: str) -> BuildLogView:
        """The log of a build as lines for people."""
        return BuildLogView(self, build_id)

    def last(self, build_id: str, limit: int) -> Iterator[str]:
        """The last portions of a log, the newest first, until they are `limit` bytes."""
        query = select(BuildLogRow.entries, BuildLogRow.bytes).filter_by(build_id=build_id)
        with self._database.read() as session:
            for text, size in session.execute(query.order_by(BuildLogRow.id.desc()).execution_options(yield_per=4)):
                yield text
                limit -= size
                if limit < 0:
                    return


class BuildLogView:
    """One build's log, as `LogView`."""

    def __init__(self, logs: BuildLogs, build_id: str) -> None:
        self._logs = logs
        self._build_id = build_id
        self.bell = bell_of(build_id)

    def read(self, position: int) -> Portion:
        """As `LogView.read`."""
        end, entries = self._logs.entries(self._build_id, position)
        return Portion(position=end, lines=tuple(line for entry in entries for line in _lines(entry)))

    def tail(self, limit: int) -> str:
        """As `LogView.tail`. An entry is longer where it is kept than when it is read."""
        portions = reversed(list(self._logs.last(self._build_id, 4 * limit)))
        entries = (Entry.decode(line) for text in portions for line in text.split("\n") if line)
        text = "".join(f"{line.text}\n" for entry in entries for line in _lines(entry))
        return text if len(text) <= limit else text[-limit:].partition("\n")[2]


def _lines(entry: Entry) -> tuple[Line, ...]:
    text = entry.line
    return () if text is None else (Line(at=entry.at, text=text, ours=entry.kind == "note"),)
