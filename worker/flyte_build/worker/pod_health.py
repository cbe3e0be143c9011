"""What a worker tells beside its builds: health, metrics, and the size of the build cache."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from flyte_build.worker.operating.readiness import Checks
from flyte_build.worker.operating.server import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.operating.operating import Operating
    from flyte_build.worker.pod import PodSettings
    from flyte_build.worker.queue import Doorbell


@contextmanager
def telling(
    settings: PodSettings, operating: Operating, database: Database, doorbell: Doorbell, engine: Callable[[], bool]
) -> Iterator[None]:
    """As long as the block. A worker without its broker finds builds all the same, so that is said and no more."""

    def answers() -> bool:
        with database.read() as session:
            session.execute(select(1))
        return True

    checks = Checks({"database": answers, "broker": lambda: doorbell.embedded or doorbell.answers(), "engine": engine})
    with ExitStack() as opened:
        opened.callback(checks.close)
        if settings.metrics is not None:
            opened.enter_context(told(*settings.metrics, operating.metrics, checks.missing))
        if settings.cache is not None:
            keeper = operating.keeper(settings.cache)
            keeper.start()
            opened.callback(keeper.stop)
        yield
