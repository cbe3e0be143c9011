"""Workers of their own: platforms, parts of a build, logs that every process reads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_RUNNING = sa.text("state = 'running' AND image_key <> '' AND parent_id IS NULL")


def upgrade() -> None:
    """Columns of builds; tables of workers and log pieces."""
    for name in ("failure", "trace", "form", "platforms", "image_key"):
        op.add_column("builds", sa.Column(name, sa.String(), nullable=False, server_default=""))
    for name in ("timeout", "not_before"):
        op.add_column("builds", sa.Column(name, sa.Double(), nullable=False, server_default="0"))
    op.add_column("builds", sa.Column("parts", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE builds SET form = 'spec'")
    for name in ("parent_id", "joined_id"):
        op.add_column("builds", sa.Column(name, sa.String()))
    op.create_index(
        "one_running_image",
        "builds",
        ["project", "domain", "image_key"],
        unique=True,
        sqlite_where=_RUNNING,
        postgresql_where=_RUNNING,
    )
    op.create_index("builds_by_parent", "builds", ["parent_id"])
    op.create_table(
        "build_log",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("build_id", sa.String(), sa.ForeignKey("builds.id"), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("entries", sa.String(), nullable=False),
    )
    op.create_index("ix_build_log_build_id", "build_log", ["build_id"])
    op.create_table(
        "workers",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("platforms", sa.String(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
    )
    op.execute("ALTER TABLE builds DROP COLUMN log_bytes")
    op.execute("DROP TABLE IF EXISTS schema_version")
