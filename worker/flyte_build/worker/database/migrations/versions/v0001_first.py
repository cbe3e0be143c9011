"""The tables of the embedded service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ACTIVE = sa.text("state IN ('queued', 'running') AND NOT cancel_requested")


def upgrade() -> None:
    """Tasks, builds, actions and their phases."""
    _tasks()
    _builds()
    _actions()


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.Integer(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("project", "domain", "name", "version")),
        sa.Column("spec", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("project", "domain", "name", "version"),
    )


def _builds() -> None:
    texts = ("project", "domain", "key", "target", "spec_object", "spec_sha256", "context_object", "context_sha256")
    op.create_table(
        "builds",
        sa.Column("id", sa.String(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        sa.Column("log_bytes", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("reference", "spec_digest", "status", "error", "step", "error_log")
        ),
    )
    op.create_index(
        "one_active_build",
        "builds",
        ["project", "domain", "key"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_index("builds_by_state", "builds", ["state", "created_at"])


def _actions() -> None:
    texts = ("org", "project", "domain", "run", "name", "kind")
    op.create_table(
        "actions",
        sa.Column("id", sa.Integer(), primary_key=True),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("request_key", sa.String(), unique=True),
        sa.Column("build_id", sa.String(), sa.ForeignKey("builds.id")),
        sa.Column("task", sa.LargeBinary(), nullable=False),
        sa.Column("run_spec", sa.LargeBinary(), nullable=False),
        sa.Column("inputs_object", sa.String(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        *(
            sa.Column(name, sa.String(), nullable=False)
            for name in ("abort_reason", "error_code", "error_kind", "error")
        ),
        sa.Column("outputs", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("project", "domain", "run", "name"),
    )
    op.create_index("ix_actions_build_id", "actions", ["build_id"])
    op.create_index("actions_by_phase", "actions", ["phase"])
    op.create_index("actions_by_age", "actions", ["created_at"])
    op.create_table(
        "transitions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("action_id", sa.Integer(), sa.ForeignKey("actions.id"), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
    )
    op.create_index("ix_transitions_action_id", "transitions", ["action_id"])
