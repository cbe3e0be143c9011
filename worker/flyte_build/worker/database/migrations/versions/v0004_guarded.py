"""Whether a build was asked of a service that has rules of who may."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """One column of builds."""
    op.add_column("builds", sa.Column("guarded", sa.Boolean(), nullable=False, server_default=sa.false()))
