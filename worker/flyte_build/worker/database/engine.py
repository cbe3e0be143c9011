"""The connection to the database and its transactions: short, and writes take the lock when they begin."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine, event, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from flyte_build.registry.errors import ServiceError, ServiceUnavailable
from flyte_build.worker.database.schema import VERSION, Base, VersionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection

    Clock = Callable[[], float]

_T = TypeVar("_T")
_BUSY_SECONDS = 10


def value_of(kind: type[_T], row: Base) -> _T:
    """The frozen value `kind` (a dataclass) with the columns of `row` that it names."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})  # type: ignore[arg-type]


class Database:
    """A database by SQLAlchemy URL. SQLite runs in WAL mode, so that readers never wait for the writer."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._writer: Engine = self._engine.execution_options(flyte_build_writes=True)

    def create(self) -> None:
        """Makes the tables if they are not there; ServiceError when they are of another version."""
        with _translated():
            Base.metadata.create_all(self._engine)
        with self.write() as session:
            versions = session.scalars(select(VersionRow.version)).all()
            if not versions:
                session.add(VersionRow(version=VERSION))
            elif list(versions) != [VERSION]:
                raise ServiceError(
                    f"the database has tables of version {max(versions)} and this release needs version {VERSION}",
                    hint="use the release that wrote it, or another --state directory",
                )

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end, rolled back on any error."""
        with _translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with _translated(), Session(self._engine) as session:
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        # The driver's own words only: SQLAlchemy's carry the statement and its values.
        reason = str(error.orig).splitlines()[0] if error.orig else "no reason given"
        raise ServiceUnavailable(f"the database did not answer: {reason}") from error
    except SQLAlchemyError as error:
        raise ServiceError(f"the database could not be used: {type(error).__name__}") from error


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    # The driver's own transaction handling would begin too late: a read that turns into a write then fails as busy.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", f"busy_timeout={_BUSY_SECONDS * 1000}", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("flyte_build_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
