"""Runs actions in containers: from QUEUED to the end, one thread each, at most so many at once.

The database says what is to be run. A run survives a restart of the service: its container goes on, is found again by
its label, and followed from the first line of its log.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyteidl2.task.task_definition_pb2 import TaskSpec

from flyte_build.registry.errors import EngineError, FlyteBuildError
from flyte_build.worker.runs.launch import docker_create
from flyte_build.worker.runs.outcome import outcome_of
from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.runs.prepare import prepare
from flyte_build.worker.runs.sweep import action_label, service_label, sweep
from flyte_build.worker.runs.values import Action, Failure, Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.worker.runs.actions import Actions
    from flyte_build.worker.runs.container import Containers
    from flyte_build.worker.runs.values import ActionName
    from flyte_build.worker.stores.logs import LogFile
    from flyte_build.worker.stores.store import Store

_log = logging.getLogger(__name__)
_TAIL_BYTES = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorOptions:
    """Where runs keep their files, how many run at once, and where containers reach this service (or empty).

    `service` tells this service's containers from those of another one on the same engine.
    """

    service: str
    root: Path
    slots: int
    endpoint: str = ""


class Executor:
    """Runs every action that it is given; `recover` gives it those that an earlier process left."""

    def __init__(
        self,
        actions: Actions,
        store: Store,
        containers: Containers,
        log_of: Callable[[ActionName], LogFile],
        options: ExecutorOptions,
    ) -> None:
        self._actions = actions
        self._store = store
        self._containers = containers
        self._log_of = log_of
        self._options = options
        self._pool = ThreadPoolExecutor(options.slots, thread_name_prefix="run")
        self._besides = ThreadPoolExecutor(4, thread_name_prefix="beside-runs")
        self._stopping = threading.Event()

    def recover(self) -> None:
        """Takes up what is unfinished in the database."""
        self._besides.submit(sweep, self._containers, self._actions, self._options.service)
        for action in self._actions.unfinished(Kind.CONTAINER):
            self._pool.submit(self._run, action)

    def submit(self, action: Action) -> None:
        """Runs an action as soon as a slot is free; returns at once."""
        self._actions.enter(action, Phase.WAITING_FOR_RESOURCES)
        self._pool.submit(self._run, action)

    def abort(self, action: Action) -> None:
        """Kills the container of an action that was aborted."""
        self._besides.submit(self._kill, action)

    def stop(self) -> None:
        """Lets go of every container that runs: they go on, and the next process finds them."""
        self._stopping.set()
        self._besides.shutdown(wait=True)
        self._containers.let_go()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _kill(self, action: Action) -> None:
        try:
            if found := self._containers.find(self._label(action)):
                self._containers.kill(found)
        except EngineError as error:
            _log.warning("run %s: cannot be stopped: %s", action.full_name, error.sentence)

    def _run(self, action: Action) -> None:
        if self._stopping.is_set():
            return
        try:
            self._run_container(action)
        except FlyteBuildError as error:
            if not self._stopping.is_set():
                sentence = f"{error.sentence}; {error.hint}" if error.hint else error.sentence
                _log.info("run %s: failed: %s", action.full_name, sentence)
                self._actions.fail(action, Failure(message=sentence, code=type(error).__name__))
        except Exception:  # noqa: BLE001 - whatever breaks, the run ends and the executor lives
            _log.exception("run %s: the executor broke", action.full_name)
            self._actions.fail(action, Failure(message="the endpoint broke while it ran this; see its log"))

    def _run_container(self, action: Action) -> None:
        container = self._found(action)
        begun = container is not None
        try:
            if container is None:
                container = self._create(action)
                begun = container is not None and self._start(action, container)
            if container is not None and begun:
                self._follow(action, container)
        finally:
            if container is not None and (not self._stopping.is_set() or self._ended(action)):
                self._containers.remove(container)

    def _found(self, action: Action) -> str | None:
        """The container that an earlier process started for this action."""
        container = self._containers.find(self._label(action))
        if container is not None and self._containers.status(container) == "created":
            self._containers.remove(container)
            return None
        if container is None and action.phase == Phase.RUNNING:
            raise EngineError("the container of this run is gone: it was removed while the endpoint was not running")
        return container

    def _create(self, action: Action) -> str | None:
        if not self._actions.enter(action, Phase.INITIALIZING) and self._ended(action):
            return None
        options = self._options
        labels = (service_label(options.service), self._label(action))
        launch = prepare(action, self._store, options.root, endpoint=options.endpoint, labels=labels)
        return self._containers.create(docker_create(launch))

    def _start(self, action: Action, container: str) -> bool:
        if not self._actions.enter(action, Phase.RUNNING) and self._ended(action):
            return False
        self._containers.start(container)
        _log.info("run %s: running", action.full_name)
        if self._ended(action):
            self._containers.kill(container)  # aborted between our two steps
        return True

    def _follow(self, action: Action, container: str) -> None:
        log = self._log_of(action.full_name)
        log.start()
        limit = TaskSpec.FromString(action.task).task_template.metadata.timeout.ToSeconds()
        timer = threading.Timer(limit, self._time_out, (action, container)) if limit else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            while not self._stopping.is_set():
                self._containers.follow(container, log.append)
                if self._stopping.is_set() or self._containers.status(container) != "running":
                    break
                log.start()  # the engine let go of the log while the container runs on: begin again
        finally:
            if timer is not None:
                timer.cancel()
        if not self._stopping.is_set():
            self._finish(action, container, log)

    def _time_out(self, action: Action, container: str) -> None:
        failure = Failure(message="the task ran longer than its timeout allows", code="TimedOut", kind="USER")
        self._actions.fail(action, failure, Phase.TIMED_OUT)
        self._containers.kill(container)

    def _finish(self, action: Action, container: str, log: LogFile) -> None:
        ended = self._containers.exit_of(container)
        work = action.full_name.under(self._options.root) / "work"
        outcome = outcome_of(work, action.name, ended, log.tail(_TAIL_BYTES))
        _log.info("run %s: %s", action.full_name, "failed" if isinstance(outcome, Failure) else "succeeded")
        if isinstance(outcome, Failure):
            self._actions.fail(action, outcome)
        else:
            self._actions.succeed(action, outcome)

    def _ended(self, action: Action) -> bool:
        current = self._actions.get(action.full_name)
        return current is None or Phase(current.phase).terminal

    def _label(self, action: Action) -> str:
        return action_label(self._options.service, action.full_name)
