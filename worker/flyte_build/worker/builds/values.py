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
    JOINED = "joined"


ACTIVE = (BuildState.QUEUED.value, BuildState.RUNNING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBuild:
    """What is asked. The objects are keys in the store (`context_object` may be empty), with their SHA-256 (hex).

    `form` says what the spec object holds: an SDK's `spec`, or our canonical `plan`, whose SHA-256 is the spec digest.
    `platforms` are joined by commas, `timeout` is in seconds (0: the worker's own). `most_queued` and `most_running`
    are how many builds its project may have in the queue and at work (0: any number).
    `trace` is the context of the trace that the request belongs to (W3C `traceparent`), or empty. `guarded` says that
    the service has rules of who may.
    """

    project: str
    domain: str
    target: str
    spec_object: str
    spec_sha256: str
    context_object: str
    context_sha256: str
    force: bool
    form: str = "spec"
    platforms: str = ""
    timeout: float = 0.0
    most_queued: int = 0
    most_running: int = 0
    trace: str = ""
    guarded: bool

    @property
    def key(self) -> str:
        """Two requests of a project with this key want the same image, so one build answers both."""
        asked = ["flyte-build-request-2", self.target, self.form, self.spec_sha256, self.context_sha256, self.force]
        asked.append(self.platforms)
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One build as the database has it; times in seconds since 1970. `waits`: why it does, while it is queued."""

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
    reference: str
    spec_digest: str
    status: str
    error: str
    step: str
    error_log: str
    form: str
    platforms: str
    parts: int
    timeout: float
    not_before: float
    parent_id: str | None
    joined_id: str | None
    image_key: str
    failure: str
    trace: str
    guarded: bool
    waits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a build for one platform of several made: a manifest with a tag of its own."""

    platforms: str
    reference: str
    spec_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's hold on a build: worth something only while the database says the same owner and attempt.

    `whole` are the platforms of the image, of which the build may be a part; `parts` are there to be joined.
    """

    build: Build
    owner: str
    attempt: int
    whole: str = ""
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What a renewal answers: whether the claim still holds, and whether somebody wants the build stopped."""

    held: bool
    stop: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildFailure:
    """Why a build failed: one sentence, the step as the engine names it, the last lines of its log, and its kind."""

    sentence: str
    step: str = ""
    log: str = ""
    kind: str = ""

    @property
    def text(self) -> str:
        """The whole for a reader."""
        step = f"\nfailing step: {self.step}" if self.step and self.step not in self.sentence else ""
        return f"{self.sentence}{step}{f'{chr(10)}{self.log}' if self.log else ''}"
