"""Rings this process's bell for what other processes changed in the database, and keeps the queue in order.

Waiters look by themselves every second; a build that took half a second must not be told of a second later.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from flyte_build.registry.errors import ServiceError
from flyte_build.worker.database.engine import value_of
from flyte_build.worker.database.schema import ActionRow, TransitionRow
from flyte_build.worker.runs.values import Action

if TYPE_CHECKING:
    from flyte_build.worker.builds.upkeep import Upkeep
    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.02
_UPKEEP_SECONDS = 2.0
_AWAY_SECONDS = 1.0


class Echo:
    """A thread; the database is only asked for changes while somebody waits for one."""

    def __init__(self, database: Database, bell: Bell, upkeep: Upkeep) -> None:
        self._database = database
        self._bell = bell
        self._upkeep = upkeep
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)
        self._seen: int | None = None

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends, within a transaction's time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        kept_at = time.monotonic()
        pause = _LOOK_SECONDS
        while not self._stopping.wait(pause):
            pause = _LOOK_SECONDS
            try:
                self._look()
                if time.monotonic() - kept_at > _UPKEEP_SECONDS:
                    kept_at = time.monotonic()
                    self._upkeep.once()
            except ServiceError as error:
                _log.warning("the database cannot be looked at: %s", error.sentence)
                pause = _AWAY_SECONDS
            except Exception:  # noqa: BLE001 - a queue that nobody keeps in order would be noticed by nobody
                _log.exception("the database cannot be looked at")
                pause = _AWAY_SECONDS

    def _look(self) -> None:
        if not self._bell.heard:
            self._seen = None
            return
        with self._database.read() as session:
            newest = session.scalar(select(func.max(TransitionRow.id))) or 0
            if self._seen is None:
                # Whoever began to listen before we began to look may have missed one.
                self._seen = newest
                self._bell.ring_all()
                return
            if newest == self._seen:
                return
            moved = select(ActionRow).join(TransitionRow).where(TransitionRow.id > self._seen).distinct()
            names = [str(value_of(Action, row).full_name) for row in session.scalars(moved)]
        self._seen = newest
        self._bell.ring(*names)
