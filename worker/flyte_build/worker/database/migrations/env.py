"""Run by Alembic, in the transaction that `upgrade` began."""

from __future__ import annotations

from alembic import context

from flyte_build.worker.database.schema import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
