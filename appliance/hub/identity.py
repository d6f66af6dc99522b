"""Whose cookie or token it is, with what that person may do at this moment.

What is remembered of tokens is forgotten with the next write, whatever it is about: revoking one or
demoting an admin works at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, bindparam, select, update
from sqlalchemy.orm import Session

from appliance.access.principal import Kind, Principal
from appliance.access.roles import Roles
from appliance.access.scopes import Bearer, GroupsOf, Scopes
from appliance.access.tokens import MAX_LENGTH, hash_secret
from appliance.clock import Clock
from appliance.db.errors import StorageError
from appliance.db.models import ApiToken, LoginSession, Password, User, UserState
from appliance.db.session import Database
from appliance.hub.groups import Grants, read_grants
from appliance.hub.required_factor import RequiredFactor
from appliance.hub.sessions import IDLE
from appliance.hub.tokens import effective_scopes
from appliance.native_auth.second_factor import has_factor

log = logging.getLogger(__name__)

# How often "last seen" is written; each write waits for the disk.
_RESOLUTION: Final = timedelta(seconds=60)

# Made once: each request with a token asks it.
_TOKEN: Final = (
    select(
        ApiToken.id,
        ApiToken.user_id,
        ApiToken.service,
        ApiToken.server_id,
        ApiToken.session_id,
        ApiToken.scopes,
        ApiToken.expires,
        ApiToken.last_activity,
        User.name,
        User.admin,
        User.language,
        User.state,
    )
    .select_from(ApiToken)
    .outerjoin(User, User.id == ApiToken.user_id)
    .where(ApiToken.hash == bindparam("hash"))
)


class Identity:
    """Looks up cookies and tokens."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        roles: Roles,
        groups_of: GroupsOf,
        service_is_admin: Callable[[str], bool | None],
        required: RequiredFactor,
    ) -> None:
        """`service_is_admin` answers None for a service that there isn't."""
        self._required = required
        self._db = db
        self._clock = clock
        self._roles = roles
        self._groups_of = groups_of
        self._service_is_admin = service_is_admin

    def by_cookie(self, secret: str) -> Principal | None:
        """The user whose log-in session it is, unless it has ended."""
        if not 0 < len(secret) <= MAX_LENGTH:
            return None
        now = self._clock.now()
        hashed = hash_secret(secret)
        query = (
            select(LoginSession, User, Password.must_change)
            .join(User, User.id == LoginSession.user_id)
            .outerjoin(Password, Password.user_id == User.id)
            .where(LoginSession.secret_hash == hashed, User.state == UserState.ACTIVE)
        )
        with self._db.session() as session:
            found = session.execute(query).one_or_none()
            if found is None:
                return None
            row, user, must_change = found
            grants = read_grants(session, user.id)
            lacks_factor = self._required.applies(
                user.name, admin=user.admin, grants=grants
            ) and not has_factor(session, user.id)
        if row.expires <= now or row.last_seen + IDLE <= now:
            return None
        if abs(now - row.last_seen) > _RESOLUTION:
            self._touch_session(row.id, user.id, now)
        return Principal(
            Kind.USER,
            user.name,
            Scopes({}) if lacks_factor else self._scopes(user.name, grants, admin=user.admin),
            admin=user.admin and not lacks_factor,
            must_change_password=bool(must_change),
            must_add_factor=lacks_factor,
            session_id=row.session_id,
            login_id=row.id,
            language=user.language,
            secret=f"session:{hashed}",
        )

    def by_token(self, token: str) -> Principal | None:
        """Whose API token it is, with the token's scopes as far as its owner holds them now."""
        if not 0 < len(token) <= MAX_LENGTH:
            return None
        now, hashed = self._clock.now(), hash_secret(token)
        found = self._db.remembered(("token", hashed), lambda: self._look_up(hashed))
        if found is None:
            return None
        row, principal = found
        if row.expires is not None and row.expires <= now:
            return None
        if row.last_activity is None or abs(now - row.last_activity) > _RESOLUTION:
            self._touch_token(row, now)
        return principal

    def _look_up(self, hashed: str) -> tuple[Row[*tuple[Any, ...]], Principal] | None:
        """A token's row, and whom it stands for until something is written."""
        with self._db.reading() as connection:
            row = connection.execute(_TOKEN, {"hash": hashed}).one_or_none()
            if row is None:
                return None
            grants = read_grants(connection, row.user_id) if row.user_id is not None else None
        user, service = row.name or "", row.service or ""
        if grants is not None:
            if row.state != UserState.ACTIVE:
                return None
            admin, owner = row.admin, self._scopes(user, grants, admin=row.admin)
        else:
            is_admin = self._service_is_admin(service)
            if is_admin is None:
                return None
            admin, owner = is_admin, self._roles.scopes_of_service(service, admin=is_admin)
        scopes = effective_scopes(
            row.scopes, owner, Bearer(user, None, service), self._roles, self._groups_of
        )
        principal = Principal(
            Kind.USER if user else Kind.SERVICE,
            user or service,
            scopes,
            # With a narrow token nobody makes admins, nor changes one: it would be wide soon.
            admin=admin and all(scopes.filters(one) is None for one in self._roles["admin"].scopes),
            session_id=row.session_id,
            token_id=row.id,
            language=row.language or "",
        )
        return row, principal

    def _scopes(self, user: str, grants: Grants, *, admin: bool) -> Scopes:
        return self._roles.scopes_of_user(
            user,
            admin=admin,
            groups=grants.groups,
            shared=grants.shared,
            teaches=grants.teaches,
        )

    def _touch_session(self, login_id: int, user_id: int, now: datetime) -> None:
        try:
            with self._db.session() as session:
                session.execute(
                    update(LoginSession).where(LoginSession.id == login_id).values(last_seen=now)
                )
                _touch_user(session, user_id, now)
        except StorageError as err:
            # A full disk must not keep people from pages that only read.
            log.warning("cannot note the use of a session: %s", err.why)

    def _touch_token(self, token: Row[*tuple[Any, ...]], now: datetime) -> None:
        """Note the use of a token, and of the log-in session it came from."""
        try:
            with self._db.session() as session:
                session.execute(
                    update(ApiToken).where(ApiToken.id == token.id).values(last_activity=now)
                )
                if token.session_id:
                    session.execute(
                        update(LoginSession)
                        .where(
                            LoginSession.session_id == token.session_id,
                            LoginSession.user_id == token.user_id,
                        )
                        .values(last_seen=now)
                    )
                if token.user_id is not None and token.server_id is None:
                    _touch_user(session, token.user_id, now)
        except StorageError as err:
            log.warning("cannot note the use of a token: %s", err.why)


def _touch_user(session: Session, user_id: int, now: datetime) -> None:
    session.execute(update(User).where(User.id == user_id).values(last_activity=now))
