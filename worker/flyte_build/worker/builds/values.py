"""Builds, as the rest of the service sees them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import Enum


class BuildState(str, Enum):
    """Where a build is. The first two are active: a later request for the same joins them."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE = (BuildState.QUEUED.value, BuildState.RUNNING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBuild:
    """What is asked. The objects are keys in the store (`context_object` may be empty), with their SHA-256 (hex)."""

    project: str
    domain: str
    target: str
    spec_object: str
    spec_sha256: str
    context_object: str
    context_sha256: str
    force: bool

    @property
    def key(self) -> str:
        """Two requests of a project with this key want the same image, so one build answers both."""
        asked = ["flyte-build-request-1", self.target, self.spec_sha256, self.context_sha256, self.force]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build as the database has it; times in seconds since 1970."""

    id: str
    project: str
    domain: str
    key: str
    target: str
    spec_object: str
    spec_sha256: str
    context_object: str
    context_sha256: str
    force: bool
    state: str
    attempts: int
    owner: str
    lease_until: float
    cancel_requested: bool
    created_at: float
    started_at: float | None
    ended_at: float | None
    log_bytes: int
    reference: str
    spec_digest: str
    status: str
    error: str
    step: str
    error_log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on a build: worth something only while the database says the same owner and attempt."""

    build: Build
    owner: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a renewal answers: whether the claim still holds, and whether somebody wants the build stopped."""

    held: bool
    stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailure:
    """Why a build failed: one sentence, the step as the engine names it, and the last lines of its log."""

    sentence: str
    step: str = ""
    log: str = ""

    @property
    def text(self) -> str:
        """The whole for a reader."""
        step = f"\nfailing step: {self.step}" if self.step and self.step not in self.sentence else ""
        return f"{self.sentence}{step}{f'{chr(10)}{self.log}' if self.log else ''}"
