"""Actions of runs, as the rest of the service sees them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from flyte_build.worker.runs.phases import Phase
from flyte_build.worker.stores.keys import parse_scope

if TYPE_CHECKING:
    from pathlib import Path

ROOT_ACTION = "a0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionName:
    """`project/domain/run/action`: what an action is called, on every wire and on disk."""

    project: str
    domain: str
    run: str
    action: str = ROOT_ACTION

    @classmethod
    def parse(cls, text: str) -> ActionName:
        """Raises InvalidName when a part is not a plain name."""
        parts = text.split("/")
        project, domain, run, action = (*parts, "", "", "", "")[:4] if len(parts) <= 4 else ("", "", "", "")
        return cls(
            project=parse_scope(project, "project"),
            domain=parse_scope(domain, "domain"),
            run=parse_scope(run, "run"),
            action=parse_scope(action, "action"),
        )

    def __str__(self) -> str:
        return f"{self.project}/{self.domain}/{self.run}/{self.action}"

    def under(self, root: Path) -> Path:
        """The directory of this action below `root`."""
        return root.joinpath(self.project, self.domain, self.run, self.action)


class Kind(str, Enum):
    """What an action does."""

    BUILD = "build"
    CONTAINER = "container"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an action ended badly: a code, the whole text for the reader, and whose fault (`USER` or `SYSTEM`)."""

    message: str
    code: str = "Failed"
    kind: str = "SYSTEM"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAction:
    """What is known when an action begins. `task` and `run_spec` are serialized TaskSpec and RunSpec."""

    org: str
    name: ActionName
    kind: Kind
    task: bytes
    run_spec: bytes
    inputs_object: str
    request_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An action entered `phase` at `at` (seconds since 1970)."""

    phase: Phase
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One action as the database has it."""

    id: int
    org: str
    project: str
    domain: str
    run: str
    name: str
    kind: str
    build_id: str | None
    task: bytes
    run_spec: bytes
    inputs_object: str
    phase: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    abort_reason: str
    error_code: str
    error_kind: str
    error: str
    outputs: bytes

    @property
    def full_name(self) -> ActionName:
        """What it is called."""
        return ActionName(project=self.project, domain=self.domain, run=self.run, action=self.name)

    @property
    def is_build(self) -> bool:
        """Whether this run builds an image."""
        return self.kind == Kind.BUILD.value
