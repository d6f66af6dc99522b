"""Alembic's entry point: migrates the connection that `upgrade.py` passes in."""

from __future__ import annotations

from alembic import context

from appliance.db import care_models, class_models, factor_models, limit_models
from appliance.db.models import Table

# All tables are known once their modules are.
__all__ = ["care_models", "class_models", "factor_models", "limit_models"]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
