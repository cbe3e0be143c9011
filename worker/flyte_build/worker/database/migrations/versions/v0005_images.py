"""Which images this service built itself, and what they were planned with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# Of everything that was built of one image, the last.
_KNOWN = """
INSERT INTO images (project, image_key, reference, built_at, signed)
SELECT project, image_key, reference, ended_at, false FROM builds AS one
WHERE id = (
    SELECT id FROM builds AS same
    WHERE same.project = one.project AND same.image_key = one.image_key AND same.image_key <> ''
    AND same.state = 'succeeded' AND same.status = 'built' AND same.parent_id IS NULL
    ORDER BY same.ended_at DESC, same.id LIMIT 1
)
"""


def upgrade() -> None:
    """A table, columns of builds and workers, two indexes; what is known to be built is taken over."""
    op.add_column("workers", sa.Column("signs", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("builds", sa.Column("bases", sa.String(), nullable=False, server_default=""))
    op.create_table(
        "images",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("image_key", sa.String(), primary_key=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("built_at", sa.Double(), nullable=False),
        sa.Column("signed", sa.Boolean(), nullable=False),
    )
    op.create_index("builds_by_key", "builds", ["project", "domain", "key"])
    op.create_index("builds_by_image", "builds", ["project", "domain", "image_key"])
    op.execute(_KNOWN)
