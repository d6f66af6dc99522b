"""The tables of limits: what admins and teachers set on pages, and whose memory ran out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from appliance.db.models import CASCADE, Table


class UserLimits(Table):
    """Limits that a user was given on a page."""

    __tablename__ = "user_limits"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), primary_key=True)
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Numbers by name: memory, cpu, tasks. What isn't in it isn't set."""
    changed: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(48), default="")


class GroupLimits(Table):
    """Limits that a group or class was given on a page."""

    __tablename__ = "group_limits"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    limits: Mapped[dict[str, Any]] = mapped_column(default=dict)
    changed: Mapped[datetime]
    changed_by: Mapped[str] = mapped_column(String(48), default="")


class MemoryKill(Table):
    """That something of a server was killed because it wanted more memory than it may have."""

    __tablename__ = "memory_kills"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)
    server_name: Mapped[str] = mapped_column(String(30), default="")
    notebook: Mapped[str] = mapped_column(String(300), default="")
    """The path of the notebook whose kernel it was; empty if that isn't known."""
    at: Mapped[datetime] = mapped_column(index=True)
