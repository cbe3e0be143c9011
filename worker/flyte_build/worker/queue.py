"""Celery, as a doorbell: a message says that there is something to build, the database says what.

Every worker hears every ring (a broadcast), and looks in the database: who has a free slot and fits takes what is
next there. So nothing piles up at the broker, no worker sits on messages for another one, and a lost message, a broker
that is down or one that forgot everything costs the few seconds until workers look by themselves.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
from typing import TYPE_CHECKING

from celery import Celery
from celery.worker import WorkController, state
from kombu.common import Broadcast
from kombu.entity import Exchange
from kombu.exceptions import KombuError

from flyte_build.registry.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
EMBEDDED = "memory://localhost/"
_TASK = "flyte_build.build"
_SCHEMES = ("redis", "rediss", "amqp", "amqps", "memory")
# The in-process broker is polled; at its default of a second everyone feels it.
_POLL_SECONDS = 0.02
_CONNECT_SECONDS = 3
_RESTART_SECONDS = 2.0
_MOST_WAITING = 1000


class Doorbell:
    """The queue as the endpoint and the workers see it. `broker` is a Celery broker URL: Redis, RabbitMQ or embedded.

    Raises InvalidInput for another one.
    """

    def __init__(self, broker: str = EMBEDDED) -> None:
        if broker.partition("://")[0] not in _SCHEMES:
            raise InvalidInput(
                "the broker URL is neither Redis nor RabbitMQ", hint="use redis://host:6379/0 or amqp://host:5672//"
            )
        self.embedded = broker == EMBEDDED
        # The in-process broker is one per process, so a queue of our own keeps two services in one process apart.
        self._name = f"flyte-build-{secrets.token_hex(4)}" if self.embedded else "flyte-build"
        self.app = Celery("flyte-build", broker=broker, set_as_current=False)
        self.app.conf.update(_configuration(self._name, embedded=self.embedded))
        self._waiting: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ringer: threading.Thread | None = None
        self._lock = threading.Lock()

    def ring(self, build_id: str) -> None:
        """Tells every worker to look; returns at once. A broker that is down costs time, never a build."""
        if self.embedded:
            self._send(build_id)
            return
        with self._lock:
            if self._ringer is None:
                self._ringer = threading.Thread(target=self._ring_all, name="doorbell", daemon=True)
                self._ringer.start()
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(build_id)

    def close(self) -> None:
        """Lets go of the broker."""
        if self._ringer is not None:
            self._waiting.put(None)
            self._ringer.join(_CONNECT_SECONDS * 2)
        with contextlib.suppress(KombuError, OSError):
            self.app.close()

    def answers(self) -> bool:
        """Whether the broker can be reached now."""
        try:
            with self.app.connection_for_write(connect_timeout=_CONNECT_SECONDS) as connection:
                connection.ensure_connection(max_retries=1, timeout=_CONNECT_SECONDS)
        except (KombuError, OSError):
            return False
        return True

    def answer(self, wake: Callable[[], None]) -> None:
        """From now on workers of this app call `wake` when it rings."""

        def build(build_id: object) -> None:  # noqa: ARG001 - where to look is the same for all
            wake()

        register: Callable[[Callable[[object], None]], object] = self.app.task(name=_TASK, shared=False)
        register(build)

    def _ring_all(self) -> None:
        while (build_id := self._waiting.get()) is not None:
            self._send(build_id)

    def _send(self, build_id: str) -> None:
        try:
            # Redis has no exchanges: who does not declare it a broadcast here publishes to a queue that nobody has.
            broadcast = [Exchange(self._name, type="fanout")]  # type: ignore[no-untyped-call]
            self.app.send_task(_TASK, args=[build_id], queue=self._name, declare=broadcast)
        except (KombuError, OSError) as error:
            _log.warning("the queue did not take build %s (%s): workers will find it", build_id, type(error).__name__)


def _configuration(name: str, *, embedded: bool) -> dict[str, object]:
    # Redis: by its patterns, whoever publishes and whoever listens would have to name the same routing key.
    patience = {
        "max_retries": 0,
        "fanout_patterns": False,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "socket_timeout": 10,
    }
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_default_queue": name,
        # Acknowledged by nobody: a worker whose broker is killed between a ring and its acknowledgement stays deaf.
        "task_queues": [Broadcast(name, no_ack=True)],  # type: ignore[no-untyped-call]
        "task_publish_retry": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_connection_timeout": _CONNECT_SECONDS,
        "broker_transport_options": {"polling_interval": _POLL_SECONDS} if embedded else patience,
    }


class Listener:
    """A Celery worker in a thread of this process, which wakes whoever `answer` named. One at a time per process.

    It installs no signal handlers, and begins anew when it breaks.
    """

    def __init__(self, doorbell: Doorbell) -> None:
        self._doorbell = doorbell
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celery-worker", daemon=True)

    def start(self) -> None:
        """Begins to take messages."""
        # The thread of the pool finds the app by the process-wide default: one listener at a time.
        self._doorbell.app.set_default()
        state.should_stop = state.should_terminate = None
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Ends it; false when it did not within `seconds`."""
        self._stopping.set()
        state.should_stop = 0
        if self._doorbell.embedded:
            for _ in range(2):
                # Its loop waits for a message, twice, before it looks whether it should stop.
                self._doorbell.ring("")
        self._thread.join(seconds)
        state.should_stop = None
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._controller().start()
            except Exception as error:  # noqa: BLE001 - workers look by themselves while it is down
                _log.warning(
                    "the queue cannot be listened to (%s): builds are looked for instead", type(error).__name__
                )
            self._stopping.wait(_RESTART_SECONDS)

    def _controller(self) -> WorkController:
        return WorkController(
            app=self._doorbell.app,
            pool="threads",
            concurrency=1,
            hostname=f"flyte-build-{secrets.token_hex(4)}",
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
