"""The tables of classes: who teaches, how people join, messages, visits, materials, archives.

They stand on the tables of models.py. A class is a group with a row in `classes`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from appliance.db.models import CASCADE, Table


class SchoolClass(Table):
    """What makes a group a class."""

    __tablename__ = "classes"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    title: Mapped[str] = mapped_column(String(200), default="")
    """What people call it; empty means the group's name."""
    created: Mapped[datetime]
    frozen: Mapped[bool] = mapped_column(default=False)
    """Nobody joins while it is so, whatever codes are out."""
    must_approve: Mapped[bool] = mapped_column(default=True)
    """Who joins with a code waits until a teacher lets them in."""
    has_nbgrader: Mapped[bool] = mapped_column(default=False)


class Teaching(Table):
    """That a user is a teacher of a group."""

    __tablename__ = "teachings"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), primary_key=True, index=True
    )


class Invite(Table):
    """A code, or a link with it, by which people make accounts and join a class.

    The code itself isn't stored: it follows from `salt` and a secret file of the hub, so that a
    teacher can show it again.
    """

    __tablename__ = "invites"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    salt: Mapped[str] = mapped_column(String(32))
    group_id: Mapped[int | None] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), index=True
    )
    note: Mapped[str] = mapped_column(String(200), default="")
    created: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(48), default="")
    expires: Mapped[datetime | None] = mapped_column(index=True)
    most_uses: Mapped[int | None]
    uses: Mapped[int] = mapped_column(default=0)


class Message(Table):
    """Something that a teacher says to one user, to a class or (an admin) to everybody."""

    __tablename__ = "messages"
    __table_args__ = (CheckConstraint("group_id IS NULL OR user_id IS NULL", name="one_receiver"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int | None] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), index=True
    )
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), index=True
    )
    sender: Mapped[str] = mapped_column(String(48))
    """Empty: the hub itself, and what follows may be set."""
    title: Mapped[str] = mapped_column(String(200), default="", server_default="")
    text: Mapped[str] = mapped_column(String(2000))
    topic: Mapped[str] = mapped_column(String(40), default="", server_default="")
    """What it is about: a later one to the same user takes its place."""
    button: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)


class MessageSeen(Table):
    """That a user has read a message."""

    __tablename__ = "messages_seen"

    message_id: Mapped[int] = mapped_column(
        ForeignKey("messages.id", ondelete=CASCADE), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), primary_key=True, index=True
    )


class Visit(Table):
    """That somebody asks to open another's server, and what the owner said.

    While it is `granted` and `until` hasn't come, the visitor holds the scope on that server.
    """

    __tablename__ = "visits"
    __table_args__ = (Index("ix_visits_owner_id_visitor_id", "owner_id", "visitor_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    visitor_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE))
    server_name: Mapped[str] = mapped_column(String(30), default="")
    state: Mapped[str] = mapped_column(String(16))
    """asked, granted, refused or ended."""
    asked: Mapped[datetime]
    until: Mapped[datetime] = mapped_column(index=True)
    """When the question or the permission lapses."""


class Handout(Table):
    """A folder that everybody in a class gets a copy of, whoever comes later too."""

    __tablename__ = "handouts"

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete=CASCADE), index=True)
    folder: Mapped[str] = mapped_column(String(300))
    """Its path below the class's shared folder."""
    rule: Mapped[str] = mapped_column(String(16))
    """What becomes of files that are there already: keep, replace or beside."""
    created: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(48), default="")
    latecomers: Mapped[bool] = mapped_column(default=True)


class Delivery(Table):
    """How a hand-out went with one user."""

    __tablename__ = "deliveries"

    handout_id: Mapped[int] = mapped_column(
        ForeignKey("handouts.id", ondelete=CASCADE), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), primary_key=True, index=True
    )
    at: Mapped[datetime]
    done: Mapped[bool] = mapped_column(default=False)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """Numbers of files copied, kept and so on, or `why` it failed."""


class Collection(Table):
    """A dated snapshot of one folder from everybody in a class."""

    __tablename__ = "collections"

    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("groups.id", ondelete=CASCADE), index=True)
    folder: Mapped[str] = mapped_column(String(300))
    """Its path below each student's home."""
    place: Mapped[str] = mapped_column(String(400))
    """Where the snapshot is, below the class's folder."""
    created: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(48), default="")
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Archive(Table):
    """A class that is over: its list stays here, its files in a folder of root's."""

    __tablename__ = "archives"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    title: Mapped[str] = mapped_column(String(200), default="")
    created: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(48), default="")
    place: Mapped[str] = mapped_column(String(400), default="")
    state: Mapped[str] = mapped_column(String(16))
    """making, packed (all is in the archive, and the class goes next), ready or failed."""
    members: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
