"""The tables. Names and rights live here; what runs is for systemd to know.

Secrets are never stored: passwords as bcrypt hashes, tokens, cookies, codes and links as SHA-256.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    MetaData,
    String,
    false,
    types,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

CASCADE: Final = "CASCADE"


class Moment(types.TypeDecorator[datetime]):
    """Aware UTC on our side, naive UTC in the database (SQLite has no time zones)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """SQLite's text in one step: lists have two moments in each row."""
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        return _moment_of_text


def _moment_of_text(text: str | None) -> datetime | None:
    return datetime.fromisoformat(f"{text}+00:00") if text else None


class UserState(StrEnum):
    """Whether a user was let in."""

    WAITING = "waiting"
    ACTIVE = "active"
    LOCKED = "locked"
    """Kept out by an admin or a teacher until one lets the user in again."""


class Table(DeclarativeBase):
    """Base of all tables; constraints have names, so that later migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: Moment,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


class User(Table):
    """Somebody known to the hub, by canonical name."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(48), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    admin: Mapped[bool] = mapped_column(default=False)
    created: Mapped[datetime]
    last_activity: Mapped[datetime | None] = mapped_column(index=True)
    info: Mapped[dict[str, Any]] = mapped_column(default=dict)
    full_name: Mapped[str] = mapped_column(String(200), default="", server_default="")
    """What people call the user, as lists and log-in cards show it."""
    email: Mapped[str] = mapped_column(String(254), default="", server_default="")
    email_verified: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether the user has followed a link that was sent there; else nothing secret is sent."""
    language: Mapped[str] = mapped_column(String(8), default="", server_default="")
    """The language chosen for pages; empty means the browser's."""

    password: Mapped[Password | None] = relationship(
        back_populates="user", passive_deletes=True, lazy="raise"
    )


class Password(Table):
    """The password of a user who has one."""

    __tablename__ = "passwords"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), primary_key=True)
    hash: Mapped[str] = mapped_column(String(80))
    changed: Mapped[datetime]
    must_change: Mapped[bool] = mapped_column(default=False)

    user: Mapped[User] = relationship(back_populates="password", lazy="raise")


class LoginSession(Table):
    """A browser that is logged in."""

    __tablename__ = "login_sessions"

    id: Mapped[int] = mapped_column(primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)
    session_id: Mapped[str] = mapped_column(String(64))
    created: Mapped[datetime]
    last_seen: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(String(64), default="")
    user_agent: Mapped[str] = mapped_column(String(200), default="")


class Server(Table):
    """A single-user server that was ever started, and what it is to be now."""

    __tablename__ = "servers"
    __table_args__ = (Index("uq_servers_user_id_name", "user_id", "name", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE))
    name: Mapped[str] = mapped_column(String(30), default="")
    state: Mapped[str] = mapped_column(String(16), index=True)
    started: Mapped[datetime | None]
    last_activity: Mapped[datetime | None]
    display_name: Mapped[str] = mapped_column(String(255), default="")
    user_options: Mapped[dict[str, Any]] = mapped_column(default=dict)
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class Group(Table):
    """People who belong together: roles, scopes and shares can be given to all of them at once."""

    __tablename__ = "groups"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    properties: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Membership(Table):
    """That a user is in a group."""

    __tablename__ = "memberships"

    group_id: Mapped[int] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), primary_key=True, index=True
    )


class Share(Table):
    """Scopes on one server, given to a user or to a group, exactly one of them."""

    __tablename__ = "shares"
    __table_args__ = (
        CheckConstraint("(user_id IS NULL) <> (group_id IS NULL)", name="one_receiver"),
        Index("uq_shares_server_id_user_id", "server_id", "user_id", unique=True),
        Index("uq_shares_server_id_group_id", "server_id", "group_id", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    server_id: Mapped[int] = mapped_column(ForeignKey("servers.id", ondelete=CASCADE))
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), index=True
    )
    group_id: Mapped[int | None] = mapped_column(
        ForeignKey("groups.id", ondelete=CASCADE), index=True
    )
    scopes: Mapped[list[str]] = mapped_column(default=list)
    created: Mapped[datetime]


class ShareCode(Table):
    """A code that gives whoever enters it scopes on one server, until it expires."""

    __tablename__ = "share_codes"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    server_id: Mapped[int] = mapped_column(ForeignKey("servers.id", ondelete=CASCADE), index=True)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    created: Mapped[datetime]
    expires: Mapped[datetime] = mapped_column(index=True)
    exchanges: Mapped[int] = mapped_column(default=0)
    last_exchanged: Mapped[datetime | None]


class ApiService(Table):
    """A service made through the API; those of the configuration have no row."""

    __tablename__ = "api_services"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    spec: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created: Mapped[datetime]


class OAuthClient(Table):
    """A server or service that logs people in through us; its secret is its API token."""

    __tablename__ = "oauth_clients"
    __table_args__ = (Index("uq_oauth_clients_service", "service", unique=True),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    """What clients call `client_id`. Not unique: ada's server `x` and the default server of `ada-x`
    have the same one in JupyterHub's scheme; the secret or the redirect URI tells them apart."""
    server_id: Mapped[int | None] = mapped_column(
        ForeignKey("servers.id", ondelete=CASCADE), unique=True
    )
    service: Mapped[str | None] = mapped_column(String(255))
    """The name of the service whose client it is, if it isn't a server's."""
    secret_hash: Mapped[str] = mapped_column(String(64))
    redirect_uri: Mapped[str] = mapped_column(String(1024))
    description: Mapped[str] = mapped_column(String(255), default="")
    allowed_scopes: Mapped[list[str]] = mapped_column(default=list)
    confirm: Mapped[bool] = mapped_column(default=True)


class ApiToken(Table):
    """A bearer token: of a user, of a service, of a user's server, or given to an OAuth client."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete=CASCADE), index=True
    )
    service: Mapped[str | None] = mapped_column(String(255), index=True)
    server_id: Mapped[int | None] = mapped_column(
        ForeignKey("servers.id", ondelete=CASCADE), index=True
    )
    """The server whose own token it is, if any."""
    oauth_client_id: Mapped[int | None] = mapped_column(
        ForeignKey("oauth_clients.id", ondelete=CASCADE), index=True
    )
    session_id: Mapped[str | None] = mapped_column(String(64), index=True)
    scopes: Mapped[list[str]] = mapped_column(default=list)
    note: Mapped[str] = mapped_column(String(1024), default="")
    created: Mapped[datetime]
    expires: Mapped[datetime | None] = mapped_column(index=True)
    last_activity: Mapped[datetime | None]


class OAuthCode(Table):
    """An authorization code on its way from the hub to a client: one use, five minutes."""

    __tablename__ = "oauth_codes"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("oauth_clients.id", ondelete=CASCADE))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE))
    session_id: Mapped[str | None] = mapped_column(String(64))
    redirect_uri: Mapped[str] = mapped_column(String(1024))
    scopes: Mapped[list[str]]
    code_challenge: Mapped[str | None] = mapped_column(String(128))
    code_challenge_method: Mapped[str | None] = mapped_column(String(16))
    expires: Mapped[datetime] = mapped_column(index=True)


class Throttle(Table):
    """Failed attempts by account or address; they fade with time."""

    __tablename__ = "throttles"

    key: Mapped[str] = mapped_column(String(160), primary_key=True)
    failures: Mapped[float]
    updated: Mapped[datetime] = mapped_column(index=True)


class OneTimeLink(Table):
    """A link that lets its holder choose a password, once."""

    __tablename__ = "one_time_links"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete=CASCADE), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime]
    expires: Mapped[datetime]


class Departure(Table):
    """A removed user whose servers and account the spawner hasn't yet confirmed as gone."""

    __tablename__ = "departures"

    name: Mapped[str] = mapped_column(String(48), primary_key=True)
    since: Mapped[datetime]


class Rename(Table):
    """A user's new name, which the spawner hasn't yet confirmed; nobody may take the old one."""

    __tablename__ = "renames"

    old: Mapped[str] = mapped_column(String(48), primary_key=True)
    new: Mapped[str] = mapped_column(String(48), unique=True)
    since: Mapped[datetime]


class Fact(Table):
    """Single values that belong to the database, such as the cost of password hashes."""

    __tablename__ = "facts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(1024))
