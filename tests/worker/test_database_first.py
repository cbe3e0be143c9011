"""Everything may be started at once: endpoint and worker wait for their database, say so once, and not for ever."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.worker.deployment import Deployment, deployed
from tests.worker.services import Server, postgres

from flyte_build.registry.errors import ServiceUnavailable
from flyte_build.worker.database.engine import Database
from flyte_build.worker.database.patience import create_patiently

NOBODY = "postgresql://u:hunter2@127.0.0.1:1/d"


class Heard(logging.Handler):
    """What was logged, whatever other tests do with loggers."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_a_server_that_stays_away_is_waited_for_as_long_as_was_said_and_named_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = Database(NOBODY)
    with pytest.raises(ServiceUnavailable):
        database.create()  # what the first one loads is not waited for
    heard = Heard()
    monkeypatch.setattr(logging.getLogger("flyte_build.worker.database.patience"), "handlers", [heard])
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="the database did not") as caught:
        create_patiently(database, threading.Event(), seconds=2.5)
    assert time.monotonic() - began >= 2.5
    assert "it was waited for 2.5 seconds: start it" in caught.value.hint
    (said,) = heard.said
    assert "waiting for it, 2.5 seconds at most" in said
    assert "hunter2" not in said + caught.value.sentence
    database.close()


def test_a_file_is_not_waited_for(tmp_path: Path) -> None:
    database, began = Database(f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}"), time.monotonic()
    with pytest.raises(ServiceUnavailable):
        create_patiently(database, threading.Event(), seconds=60)
    assert time.monotonic() - began < 30
    database.close()


def test_who_is_to_stop_does_not_wait_on() -> None:
    database, stopping = Database(NOBODY), threading.Event()
    threading.Timer(0.5, stopping.set).start()
    assert not create_patiently(database, stopping, seconds=60)
    database.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A PostgreSQL that is not started yet."""
    server = postgres(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def early(tmp_path: Path, server: Server) -> Iterator[Deployment]:
    with deployed(tmp_path / "d", "127.0.0.1:1/images", server, None) as deployment:
        yield deployment


def waiting(deployment: Deployment) -> int:
    return deployment.said().count("; waiting for it, 120 seconds at most")


@pytest.mark.real
def test_endpoint_and_worker_that_are_started_before_their_database_work_when_it_is_there(
    early: Deployment, server: Server
) -> None:
    with ThreadPoolExecutor(1) as pool:
        endpoint = pool.submit(early.endpoint)
        early.worker()
        early.until(lambda: waiting(early) == 2, 40)
        time.sleep(2)
        assert waiting(early) == 2, "each says it once"
        server.start()
        endpoint.result()
    early.until(lambda: early.said().count("the database answers") == 2)
    early.until(lambda: "is ready" in early.said())


@pytest.mark.real
def test_who_waits_for_a_database_ends_at_sigterm_without_a_traceback(early: Deployment) -> None:
    with ThreadPoolExecutor(1) as pool:
        endpoint = pool.submit(early.endpoint)
        early.worker()
        early.until(lambda: waiting(early) == 2, 40)
        for process in early.processes:
            process.kill(signal.SIGTERM)
        assert [process.wait() for process in early.processes] == [0, 0]
        (early.folder / "endpoint/endpoint.json").touch()
        endpoint.result()
    assert "Traceback" not in early.said()
