"""Where everything starts at once, a database server may not answer yet: it is waited for."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from flyte_build.registry.errors import ServiceUnavailable

if TYPE_CHECKING:
    import threading

    from flyte_build.worker.database.engine import Database

_log = logging.getLogger(__name__)
PATIENCE_SECONDS = 120.0
_AGAIN_SECONDS = 1.0


def create_patiently(database: Database, stopping: threading.Event, seconds: float = PATIENCE_SECONDS) -> bool:
    """Makes the tables as soon as the database answers; False when `stopping` was set before.

    What it waits for is said once, and again when it is something else. Raises ServiceUnavailable for a server that
    does not answer within `seconds`, and at once for a file; else as `Database.create`.
    """
    given_up, said = time.monotonic() + seconds, ""
    while not stopping.is_set():
        try:
            database.create()
        except ServiceUnavailable as error:
            if not database.is_server:
                raise
            if time.monotonic() >= given_up:
                waited = f"it was waited for {seconds:g} seconds: start it, or correct --database"
                raise ServiceUnavailable(error.sentence, hint=waited) from error
            if error.sentence != said:
                said = error.sentence
                _log.warning("%s; waiting for it, %g seconds at most", said, seconds)
            stopping.wait(_AGAIN_SECONDS)
        else:
            if said:
                _log.info("the database answers")
            return True
    return False
