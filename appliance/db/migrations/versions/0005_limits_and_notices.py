"""Limits that are set on pages, what ran out of memory, and notices with a button."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _notices()
    _limits()
    _memory()


def _notices() -> None:
    op.add_column(
        "messages", sa.Column("title", sa.String(length=200), server_default="", nullable=False)
    )
    op.add_column(
        "messages", sa.Column("topic", sa.String(length=40), server_default="", nullable=False)
    )
    op.add_column("messages", sa.Column("button", sa.JSON(), nullable=True))


def _limits() -> None:
    op.create_table(
        "user_limits",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.Column("changed_by", sa.String(length=48), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_user_limits_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name="pk_user_limits"),
    )
    op.create_table(
        "group_limits",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("changed", sa.DateTime(), nullable=False),
        sa.Column("changed_by", sa.String(length=48), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name="fk_group_limits_group_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", name="pk_group_limits"),
    )


def _memory() -> None:
    op.create_table(
        "memory_kills",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("server_name", sa.String(length=30), nullable=False),
        sa.Column("notebook", sa.String(length=300), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_memory_kills_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_memory_kills"),
    )
    op.create_index("ix_memory_kills_at", "memory_kills", ["at"], unique=False)
    op.create_index("ix_memory_kills_user_id", "memory_kills", ["user_id"], unique=False)
