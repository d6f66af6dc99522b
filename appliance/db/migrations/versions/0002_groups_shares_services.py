"""Groups, shares, and services of the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _groups()
    _shares()
    _services()


def _groups() -> None:
    op.create_table(
        "groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("properties", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
        sa.UniqueConstraint("name", name="uq_groups_name"),
    )
    op.create_table(
        "memberships",
        sa.Column("group_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name="fk_memberships_group_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_memberships_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("group_id", "user_id", name="pk_memberships"),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"], unique=False)


def _shares() -> None:
    op.create_table(
        "shares",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("server_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.CheckConstraint(
            "(user_id IS NULL) <> (group_id IS NULL)", name=op.f("ck_shares_one_receiver")
        ),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_shares_server_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_shares_user_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["group_id"], ["groups.id"], name="fk_shares_group_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
    )
    op.create_index("ix_shares_user_id", "shares", ["user_id"], unique=False)
    op.create_index("ix_shares_group_id", "shares", ["group_id"], unique=False)
    for receiver in ("user_id", "group_id"):
        op.create_index(
            f"uq_shares_server_id_{receiver}", "shares", ["server_id", receiver], unique=True
        )
    op.create_table(
        "share_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("server_id", sa.Integer(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("expires", sa.DateTime(), nullable=False),
        sa.Column("exchanges", sa.Integer(), nullable=False),
        sa.Column("last_exchanged", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["server_id"], ["servers.id"], name="fk_share_codes_server_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_share_codes"),
        sa.UniqueConstraint("hash", name="uq_share_codes_hash"),
    )
    op.create_index("ix_share_codes_server_id", "share_codes", ["server_id"], unique=False)
    op.create_index("ix_share_codes_expires", "share_codes", ["expires"], unique=False)


def _services() -> None:
    op.create_table(
        "api_services",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_api_services"),
    )
    # SQLite can't add a constraint to a table that is there; a unique index does the same.
    op.add_column("oauth_clients", sa.Column("service", sa.String(length=255), nullable=True))
    op.create_index("uq_oauth_clients_service", "oauth_clients", ["service"], unique=True)
