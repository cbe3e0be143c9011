"""Brings a database's tables to what this release needs, by the migrations beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import inspect, text

from flyte_build.registry.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PLACE = Path(__file__).with_name("migrations")
_HEAD = "head"
_FIRST = "0001"
# Any number, as long as it is the same for everybody who migrates.
_LOCK = 7_390_118_265


def upgrade(connection: Connection, revision: str = _HEAD) -> None:
    """Runs what is missing, in the transaction that the connection is in; whoever comes meanwhile waits.

    Raises ServiceError when the tables are of a release that this one does not know.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_PLACE).replace("%", "%%"))
    there = MigrationContext.configure(connection).get_current_heads()
    if revision == _HEAD and there == tuple(ScriptDirectory.from_config(config).get_heads()):
        return
    if not there and "schema_version" in inspect(connection).get_table_names():
        command.stamp(config, _FIRST)  # made before there were migrations
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        raise ServiceError(
            f"the database has tables of version {', '.join(there)}, which this release does not know",
            hint="use the release that wrote it, or a newer one",
        ) from error
