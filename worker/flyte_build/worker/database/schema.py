"""The tables: what the service remembers. Times are seconds since 1970 (UTC), as the service's clock tells them.

No signed URL and no value of a secret is ever stored here; protobuf messages are stored as they serialize.
"""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import Double, ForeignKey, Index, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_ACTIVE = text("state IN ('queued', 'running') AND NOT cancel_requested")
_RUNNING = text("state = 'running' AND image_key <> '' AND parent_id IS NULL")


class Base(DeclarativeBase):
    """Every table of the service."""

    # SQLAlchemy 2.0 and 2.1 differ in what a float is.
    type_annotation_map: ClassVar[dict[type, object]] = {float: Double()}


class TaskRow(Base):
    """A deployed task: a serialized `flyteidl2.task.TaskSpec` under a name and a version."""

    __tablename__ = "tasks"
    __table_args__ = (UniqueConstraint("project", "domain", "name", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project: Mapped[str]
    domain: Mapped[str]
    name: Mapped[str]
    version: Mapped[str]
    spec: Mapped[bytes]
    created_at: Mapped[float]


class BuildRow(Base):
    """One build: what was asked, who holds it, and how it ended.

    `form` says what lies at `spec_object`: an SDK's `spec` or our `plan`. `platforms` are joined by commas. A build
    that was split into `parts` waits for them; each of those has a `parent_id`. `image_key` is repository and spec
    digest as soon as a worker knows them; a build that turned out to be another's says whose in `joined_id`.
    `timeout` is in seconds, 0 for the worker's own. Not to be taken before `not_before`.
    """

    __tablename__ = "builds"
    __table_args__ = (
        # At most one active build per project and request, whoever inserts first, on every database we use.
        Index(
            "one_active_build", "project", "domain", "key", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
        ),
        # And at most one that runs for an image, once its worker knows which image it is.
        Index(
            "one_running_image",
            "project",
            "domain",
            "image_key",
            unique=True,
            sqlite_where=_RUNNING,
            postgresql_where=_RUNNING,
        ),
        Index("builds_by_state", "state", "created_at"),
        Index("builds_by_parent", "parent_id"),
        Index("builds_by_sdk_name", "project", "domain", "sdk_name"),
        Index("builds_by_key", "project", "domain", "key"),
        Index("builds_by_image", "project", "domain", "image_key"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    project: Mapped[str]
    domain: Mapped[str]
    key: Mapped[str]
    target: Mapped[str]
    spec_object: Mapped[str]
    spec_sha256: Mapped[str]
    context_object: Mapped[str]
    context_sha256: Mapped[str]
    force: Mapped[bool]
    state: Mapped[str]
    attempts: Mapped[int]
    owner: Mapped[str]
    lease_until: Mapped[float]
    cancel_requested: Mapped[bool]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    reference: Mapped[str]
    spec_digest: Mapped[str]
    status: Mapped[str]
    error: Mapped[str]
    step: Mapped[str]
    error_log: Mapped[str]
    # The kind of the failure (a class of errors), and the context of the trace that the request belongs to (W3C).
    failure: Mapped[str] = mapped_column(default="", server_default="")
    trace: Mapped[str] = mapped_column(default="", server_default="")
    form: Mapped[str]
    platforms: Mapped[str]
    parts: Mapped[int]
    timeout: Mapped[float]
    not_before: Mapped[float]
    parent_id: Mapped[str | None]
    joined_id: Mapped[str | None]
    image_key: Mapped[str]
    # How many builds its project may run at once (0: any number), and what an SDK calls the image: `<name>:<tag>`.
    most_running: Mapped[int] = mapped_column(default=0, server_default="0")
    sdk_name: Mapped[str] = mapped_column(default="", server_default="")
    # Whether it was asked of a service with rules of who may: then a worker without them must not build it.
    guarded: Mapped[bool] = mapped_column(default=False, server_default=false())
    # What its spec was planned with besides its own bytes (`builds.images.Resolved`, JSON); empty for a plan.
    bases: Mapped[str] = mapped_column(default="", server_default="")
    # Why it waits in the queue, as its log said last.
    waits: Mapped[str] = mapped_column(default="", server_default="")


class ImageRow(Base):
    """An image that this service built: repository and spec digest (`image_key`) -> the digest that was pushed."""

    __tablename__ = "images"

    project: Mapped[str] = mapped_column(primary_key=True)
    image_key: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str]
    built_at: Mapped[float]
    signed: Mapped[bool]


class BuildLogRow(Base):
    """A portion of a build's log, as its worker wrote it: entries as JSON, one a line, cleaned and redacted."""

    __tablename__ = "build_log"

    id: Mapped[int] = mapped_column(primary_key=True)
    build_id: Mapped[str] = mapped_column(ForeignKey("builds.id"), index=True)
    bytes: Mapped[int]
    entries: Mapped[str]


class ActionRow(Base):
    """One action of a run (the root is `a0`): its task, its phase and its end."""

    __tablename__ = "actions"
    __table_args__ = (
        UniqueConstraint("project", "domain", "run", "name"),
        Index("actions_by_phase", "phase"),
        Index("actions_by_age", "created_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    org: Mapped[str]
    project: Mapped[str]
    domain: Mapped[str]
    run: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    request_key: Mapped[str | None] = mapped_column(unique=True)
    build_id: Mapped[str | None] = mapped_column(ForeignKey("builds.id"), index=True)
    task: Mapped[bytes]
    run_spec: Mapped[bytes]
    inputs_object: Mapped[str]
    phase: Mapped[int]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    abort_reason: Mapped[str]
    error_code: Mapped[str]
    error_kind: Mapped[str]
    error: Mapped[str]
    outputs: Mapped[bytes]


class TransitionRow(Base):
    """When an action entered a phase."""

    __tablename__ = "transitions"

    id: Mapped[int] = mapped_column(primary_key=True)
    action_id: Mapped[int] = mapped_column(ForeignKey("actions.id"), index=True)
    phase: Mapped[int]
    at: Mapped[float]


class WorkerRow(Base):
    """A worker that lives, or did: what it builds (`platforms` as in a build; empty: all), and when it was seen.

    `signs`: it signs what it builds.
    """

    __tablename__ = "workers"

    owner: Mapped[str] = mapped_column(primary_key=True)
    platforms: Mapped[str]
    slots: Mapped[int]
    signs: Mapped[bool] = mapped_column(default=False, server_default=false())
    started_at: Mapped[float]
    seen_at: Mapped[float]
