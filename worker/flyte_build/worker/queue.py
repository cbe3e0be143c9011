"""Celery, as a doorbell: a message says which build to look at, the database says whether it is to be built.

Messages are JSON and acknowledged early: a late acknowledgement hands a long build to a second worker when the broker
loses patience. A lost message costs a few seconds, because workers look in the database anyway.
"""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING, Protocol

from celery import Celery
from celery.worker import WorkController, state
from kombu.entity import Queue
from kombu.exceptions import KombuError

from flyte_build.registry.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
EMBEDDED = "memory://localhost/"
_TASK = "flyte_build.build"
# The in-process broker is polled; at its default of a second everyone feels it.
_POLL_SECONDS = 0.02


class Taking(Protocol):
    """Whoever runs builds: true when it ran this one, false when there was nothing (any more) to do."""

    def __call__(self, build_id: str) -> bool: ...


class Doorbell:
    """The queue as the endpoint and the workers see it. `broker` is a Celery broker URL."""

    def __init__(self, broker: str = EMBEDDED) -> None:
        embedded = broker == EMBEDDED
        # The in-process broker is one per process, so a queue of our own keeps two services in one process apart.
        name = f"flyte-build-{secrets.token_hex(4)}" if embedded else "flyte-build"
        self.app = Celery("flyte-build", broker=broker, set_as_current=False)
        self.app.conf.update(
            task_serializer="json",
            accept_content=["json"],
            task_ignore_result=True,
            task_acks_late=False,
            task_default_queue=name,
            task_queues=[Queue(name)],  # type: ignore[no-untyped-call]
            task_publish_retry=False,
            worker_prefetch_multiplier=1,
            worker_hijack_root_logger=False,
            worker_redirect_stdouts=False,
            broker_connection_retry_on_startup=True,
            broker_transport_options={"polling_interval": _POLL_SECONDS} if embedded else {"max_retries": 0},
        )

    def ring(self, build_id: str) -> None:
        """Tells a worker to look at this build; a broker that is down costs time, never a build."""
        try:
            self.app.send_task(_TASK, args=[build_id])
        except (KombuError, OSError) as error:
            _log.warning("the queue did not take build %s (%s): workers will find it", build_id, type(error).__name__)

    def answer(self, take: Taking) -> None:
        """From now on workers of this app run builds with `take`."""

        def build(build_id: object) -> None:
            try:
                took = take(str(build_id))
            except ServiceError as error:
                _log.warning("build %s: %s", build_id, error.sentence)
            else:
                _log.debug("build %s: %s", build_id, "ran" if took else "nothing to do")

        register: Callable[[Callable[[object], None]], object] = self.app.task(name=_TASK, shared=False)
        register(build)


class EmbeddedWorker:
    """A Celery worker in a thread of this process. It installs no signal handlers; one at a time per process."""

    def __init__(self, doorbell: Doorbell, slots: int) -> None:
        self._doorbell = doorbell
        self._controller = WorkController(
            app=doorbell.app,
            pool="threads",
            concurrency=slots,
            hostname="embedded",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        self._thread = threading.Thread(target=self._controller.start, name="celery-worker", daemon=True)

    def start(self) -> None:
        """Begins to take messages."""
        # The threads of the pool find the app by the process-wide default: one embedded worker at a time.
        self._doorbell.app.set_default()
        state.should_stop = state.should_terminate = None
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Lets running tasks end; false when they did not within `seconds`."""
        state.should_stop = 0
        for _ in range(2):
            # Its loop waits for a message, twice, before it looks whether it should stop.
            self._doorbell.ring("")
        self._thread.join(seconds)
        state.should_stop = None
        return not self._thread.is_alive()
