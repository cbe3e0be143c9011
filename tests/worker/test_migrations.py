"""What a database is after migrations is what the code believes; on SQLite here, on PostgreSQL in the real tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from tests.worker.make import new_action, new_build
from tests.worker.services import Server, postgres

from flyte_build.registry.errors import InvalidInput, ServiceError, ServiceUnavailable
from flyte_build.worker.builds.records import Builds
from flyte_build.worker.database.bell import Bell
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.schema import Base
from flyte_build.worker.database.upgrade import upgrade


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = postgres(tmp_path_factory.mktemp("postgres") / "p").start()
    yield server
    server.stop()


@pytest.fixture
def database_name(server: Server, fresh_name: str) -> str:
    return server.database(fresh_name).url


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def is_what_the_code_believes(url: str) -> None:
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        # Indexes with a condition are compared by their text: Alembic does not look at it.
        for index in ("one_active_build", "one_running_image"):
            assert any(found["name"] == index for found in inspect(connection).get_indexes("builds"))
    engine.dispose()


def comes_from_the_first_release(url: str) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE schema_version (version INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO schema_version VALUES (1)"))
        connection.execute(
            text(
                "INSERT INTO builds VALUES ('b1','p','development','k','demo:1','s','1','','',false,"
                "'queued',0,'',0,false,1.0,NULL,NULL,0,'','','','','','')"
            )
        )
    engine.dispose()
    database = Database(url)
    database.create()
    builds = Builds(database, Bell(), lambda: 5.0)
    assert builds.waiting() == ("b1",), "a build of the old tables is built by the new release"
    claim = builds.claim("w", "b1")
    assert claim is not None
    assert claim.build.form == "spec"
    database.close()
    is_what_the_code_believes(url)


def migrates_once_whoever_comes(url: str) -> None:
    errors: list[Exception] = []

    def create() -> None:
        database = Database(url)
        try:
            database.create()
        except Exception as error:  # noqa: BLE001 - what came is told below
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    is_what_the_code_believes(url)


def test_a_fresh_database_is_what_the_code_believes(sqlite: str) -> None:
    migrates_once_whoever_comes(sqlite)


def test_a_database_of_the_first_release_is_migrated_with_what_is_in_it(sqlite: str) -> None:
    comes_from_the_first_release(sqlite)


def test_a_database_of_a_newer_release_is_left_alone_with_one_sentence(sqlite: str) -> None:
    database = Database(sqlite)
    database.create()
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ServiceError, match="9999, which this release does not know"):
        database.create()
    database.close()


@pytest.mark.parametrize("url", ["mysql://u:secret@h/d", "nonsense", "", "postgres"])
def test_another_database_is_refused_without_showing_its_url(url: str) -> None:
    with pytest.raises(InvalidInput, match="neither SQLite nor PostgreSQL") as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_a_server_that_does_not_answer_is_one_sentence_without_its_password() -> None:
    database = Database("postgresql://u:hunter2@127.0.0.1:1/d")
    with pytest.raises(ServiceUnavailable) as caught:
        database.create()
    assert "hunter2" not in caught.value.sentence
    database.close()


@pytest.mark.real
class TestPostgres:
    """The same on PostgreSQL."""

    def test_a_fresh_database_is_what_the_code_believes_however_many_make_it(self, database_name: str) -> None:
        migrates_once_whoever_comes(database_name)

    def test_a_database_of_the_first_release_is_migrated_with_what_is_in_it(self, database_name: str) -> None:
        comes_from_the_first_release(database_name)

    def test_fifty_requests_at_once_are_one_build_and_eight_workers_take_each_once(self, database_name: str) -> None:
        database = Database(database_name)
        database.create()
        builds = Builds(database, Bell(), lambda: 5.0)
        found: list[str] = []
        taken: list[str] = []

        def ask(number: int) -> None:
            found.append(builds.submit(new_build(), new_action(f"r{number}"))[1].id)

        def take(number: int) -> None:
            taken.extend(
                claim.build.id for one in builds.waiting() if (claim := builds.claim(f"w{number}", one)) is not None
            )

        for job, count in ((ask, 50), (take, 8)):
            threads = [threading.Thread(target=job, args=(number,)) for number in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        database.close()
        assert (len(found), len(set(found)), len(taken)) == (50, 1, 1)
