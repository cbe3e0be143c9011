"""What a project may run at once, and builds by the name that an SDK gives its image."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Two columns of builds, and an index."""
    op.add_column("builds", sa.Column("most_running", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("builds", sa.Column("sdk_name", sa.String(), nullable=False, server_default=""))
    op.create_index("builds_by_sdk_name", "builds", ["project", "domain", "sdk_name"])
