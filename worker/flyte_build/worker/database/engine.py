"""The connection to the database and its transactions: short, and writes take the lock when they begin."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from flyte_build.registry.errors import InvalidInput, ServiceError, ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from flyte_build.worker.database.schema import Base

    Clock = Callable[[], float]

_T = TypeVar("_T")
_BUSY_SECONDS = 10
# libpq's connection parameters: seconds, and milliseconds for the last. A server that hangs is noticed soon.
_PATIENCE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 15_000}


def value_of(kind: type[_T], row: Base) -> _T:
    """The frozen value `kind` (a dataclass) with the columns of `row` that it names."""
    return kind(**{field.name: getattr(row, field.name) for field in fields(kind)})  # type: ignore[arg-type]


class Database:
    """A database by URL: `sqlite:///file` or `postgresql://user:password@host/name`.

    SQLite runs in WAL mode, so that readers never wait for the writer. `is_server`: another process answers, which may
    be away. Raises InvalidInput for another URL.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        if parsed.get_backend_name() == "sqlite":
            self._engine = create_engine(parsed)
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        else:
            self._engine = create_engine(
                parsed, pool_pre_ping=True, pool_size=10, max_overflow=30, pool_timeout=10, connect_args=_PATIENCE
            )
        self.is_server = parsed.get_backend_name() != "sqlite"
        self._writer: Engine = self._engine.execution_options(flyte_build_writes=True)

    def create(self) -> None:
        """Makes the tables, or brings them to what this release needs; ServiceError when they are of a newer one."""
        from flyte_build.worker.database.upgrade import upgrade

        with translated(), self._writer.begin() as connection:
            upgrade(connection)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may write; committed at the end, rolled back on any error."""
        with translated(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only reads."""
        with translated(), Session(self._engine) as session:
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        backend = ""
    if backend not in {"sqlite", "postgresql"}:
        raise InvalidInput(
            "the database URL is neither SQLite nor PostgreSQL",  # it is not shown: it may hold a password
            hint="use sqlite:////path/to/file or postgresql://user:password@host/name",
        )
    return parsed.set(drivername="postgresql+psycopg") if backend == "postgresql" else parsed


@contextmanager
def translated() -> Iterator[None]:
    """Raises what the driver says as ServiceUnavailable, in its own words; ServiceError for a text that it refuses."""
    try:
        yield
    except DataError as error:
        raise ServiceError("the database cannot keep what it was given, like a text with a zero byte in it") from error
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
