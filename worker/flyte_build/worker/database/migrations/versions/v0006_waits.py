"""What the log of a build in the queue said last of why it waits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """One column of builds."""
    op.add_column("builds", sa.Column("waits", sa.String(), nullable=False, server_default=""))
