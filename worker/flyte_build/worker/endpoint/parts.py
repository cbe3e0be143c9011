"""What the services of the endpoint are made of."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from flyte_build.worker.stores.logs import LogFile, LogFileView, LogView

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from flyte_build.registry.client import RegistryClient
    from flyte_build.worker.access.gate import Gate
    from flyte_build.worker.access.policy import Policies
    from flyte_build.worker.builds.images import Answer
    from flyte_build.worker.builds.logs import BuildLogs
    from flyte_build.worker.builds.records import Builds
    from flyte_build.worker.database.bell import Bell
    from flyte_build.worker.database.engine import Database
    from flyte_build.worker.endpoint.existing import Existing
    from flyte_build.worker.operating.operating import Operating
    from flyte_build.worker.operating.readiness import Checks
    from flyte_build.worker.runs.actions import Actions
    from flyte_build.worker.runs.values import Action, ActionName, NewAction
    from flyte_build.worker.secrets.projects import ProjectSecrets
    from flyte_build.worker.stores.store import Store

_log = logging.getLogger(__name__)


class Running(Protocol):
    """Whoever runs containers."""

    def submit(self, action: Action) -> None:
        """Runs an action soon; returns at once."""
        ...

    def abort(self, action: Action) -> None:
        """Stops an action that was aborted; returns at once."""
        ...


class Ringing(Protocol):
    """Whoever tells workers that there is something to build."""

    def ring(self, build_id: str) -> None:
        """Returns at once; it may get lost."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one service, wired once at its start. `logs` is where logs of runs are kept.

    `platforms` (joined by commas) are built where a request names none. `built_in`: builds are answered here, and not
    by a task that somebody registered. `registry` is asked whether images are there, and `existing` answers with
    those. With `trust_sdk_tags` clients may name them by the SDK's tag. `secrets` are None where only workers know.
    """

    database: Database
    bell: Bell
    store: Store
    actions: Actions
    builds: Builds
    executor: Running
    doorbell: Ringing
    build_logs: BuildLogs
    logs: Path
    clock: Callable[[], float]
    gate: Gate
    policies: Policies
    operating: Operating
    checks: Checks
    registry: RegistryClient
    existing: Existing
    platforms: str = ""
    built_in: bool = True
    trust_sdk_tags: bool = False
    secrets: ProjectSecrets | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    def answered(self, answer: Answer, new: NewAction) -> Action:
        """Begins a run that ends at once, with an image that is there."""
        action = self.builds.answer(answer, new)
        self.operating.metrics.answered()
        _log.info("run %s has its image already: %s", new.name, answer.reference)
        return action

    def require_secrets(self, project: str, names: frozenset[str]) -> None:
        """MissingSecret with the secrets that the project lacks, in the words of the worker that would say it later."""
        if self.secrets is not None:
            self.secrets.files(project, names)

    def log_of(self, action: Action) -> LogView:
        """The log of an action: its build's, or its container's."""
        if action.build_id:
            return self.build_logs.view(action.build_id)
        return LogFileView(run_log(self.logs, action.full_name))


def run_log(logs: Path, name: ActionName) -> LogFile:
    """Where the log of an action's container is."""
    return LogFile(name.under(logs / "runs") / "log")
