"""New names of users that the spawner hasn't confirmed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "renames",
        sa.Column("old", sa.String(length=48), nullable=False),
        sa.Column("new", sa.String(length=48), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("old", name="pk_renames"),
        sa.UniqueConstraint("new", name="uq_renames_new"),
    )
