"""The tables of what keeps servers running, stops them by the clock, and takes their network.

They stand on the tables of models.py.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from appliance.db.models import CASCADE, Table


class KeptServer(Table):
    """That a server is not stopped before a time, though nobody uses it."""

    __tablename__ = "kept_servers"

    server_id: Mapped[int] = mapped_column(
        ForeignKey("servers.id", ondelete=CASCADE), primary_key=True
    )
    until: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(48), default="")


class KeptClass(Table):
    """The same for the servers of a class, those that start later included."""

    __tablename__ = "kept_classes"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    until: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(48), default="")


class CalendarStop(Table):
    """How far the hub came with the next time of `culling.stop_at`, so that a restart goes on."""

    __tablename__ = "calendar_stops"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    """warned (whoever has a server was told) or done."""


class Exam(Table):
    """That the servers of a class have no network from one time to another."""

    __tablename__ = "exams"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    begins: Mapped[datetime]
    ends: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(48), default="")
