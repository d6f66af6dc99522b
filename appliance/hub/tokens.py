"""API tokens of users and services: making, listing and revoking them.

A token holds at most what its owner holds, checked when it is made and again whenever it is used,
and its secret is told once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from appliance import audit
from appliance.access.roles import IDENTIFY, Roles
from appliance.access.scopes import Bearer, GroupsOf, Scopes
from appliance.access.tokens import hash_secret, new_secret
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import ApiToken, OAuthClient, User
from appliance.db.session import Database
from appliance.errors import BadRequest, NoSuchUser, NotFound
from appliance.hub.groups import read_grants

log = logging.getLogger(__name__)

NOTE_MAX: Final = 1024
# Each is looked at with every request that the token makes.
_SCOPES_MAX: Final = 200
_SCOPE_MAX: Final = 1000
# So that nobody fills the disk by asking.
_TOKENS_MAX: Final = 1000
_LONGEST: Final = timedelta(days=36500)
_OURSELVES: Final = "JupyterHub"


@dataclass(frozen=True, slots=True)
class TokenView:
    """A token as pages and API show it; never its secret."""

    id: int
    user: str
    scopes: list[str]
    """All that it may do now, contained scopes and bound filters included."""
    written: list[str]
    """Its scopes as they were asked for."""
    note: str
    created: datetime
    expires: datetime | None
    last_activity: datetime | None
    session_id: str | None
    oauth_client: str
    """Whom it was given to: "JupyterHub" for those that were asked for."""
    own: bool
    """It was asked for, by page or API: no server's own, and not given to an OAuth client."""
    by_oauth: bool
    """It was given to an OAuth client."""

    @property
    def api_id(self) -> str:
        """How the API calls it."""
        return f"a{self.id}"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token just made: the only time its secret is known."""

    secret: str
    view: TokenView


class Tokens:
    """All API tokens of users."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        roles: Roles,
        groups_of: GroupsOf,
        max_age_seconds: int | None = None,
    ) -> None:
        """`max_age_seconds` is the longest life of a token that somebody asks for."""
        self._db = db
        self._clock = clock
        self._roles = roles
        self._groups_of = groups_of
        self.max_age_seconds = max_age_seconds

    def list_of(self, user: str) -> list[TokenView]:
        """A user's tokens, the longest unused one first; expired ones are deleted."""
        now = self._clock.now()
        with self._db.session() as session:
            found = _user(session, user)
            expired = (ApiToken.user_id == found.id, ApiToken.expires <= now)
            if session.scalar(select(ApiToken.id).where(*expired).limit(1)) is not None:
                session.execute(delete(ApiToken).where(*expired))
            views = self._views(session, found, ApiToken.user_id == found.id)
        return sorted(views, key=lambda view: (view.last_activity or view.created, view.id))

    def get(self, user: str, token_id: str) -> TokenView:
        """One token by the id that the API gives it; raises NotFound for another user's, too."""
        with self._db.session() as session:
            found = _user(session, user)
            row_id = _row_id(token_id)
            views = self._views(
                session,
                found,
                ApiToken.user_id == found.id,
                ApiToken.id == row_id,
                or_(ApiToken.expires.is_(None), ApiToken.expires > self._clock.now()),
            )
        if not views:
            raise _no_token(token_id)
        return views[0]

    def create(
        self,
        user: str,
        *,
        note: str = "",
        expires_in: int | None = None,
        scopes: Sequence[str] | None = None,
        roles: Sequence[str] | None = None,
        within: Scopes | None = None,
    ) -> NewToken:
        """Make a token that lives for `expires_in` seconds, or as long as tokens may.

        Without scopes and roles it holds what the role `token` does. Raises BadRequest for what
        isn't known, or is more than the user holds, or than `within`: the scopes of the user's
        token that asks for another one.
        """
        wanted = self._wanted(scopes, roles)
        if len(note) > NOTE_MAX:
            raise _cannot(f"its note is longer than {NOTE_MAX} characters")
        now = self._clock.now()
        lifetime = self._lifetime(expires_in)
        secret = new_secret()
        with self._db.session() as session:
            found = _user(session, user)
            held = self._scopes_of(session, found)
            self._check_held(wanted, found.name, held)
            if within is not None:
                self._check_within(wanted, found.name, held, within)
            self._check_room(session, found, now)
            row = ApiToken(
                hash=hash_secret(secret),
                user_id=found.id,
                scopes=wanted,
                note=note,
                created=now,
                expires=None if lifetime is None else now + lifetime,
            )
            session.add(row)
            session.flush()
            view = self._views(session, found, ApiToken.id == row.id)[0]
        log.info("token %s of user %s made", view.api_id, user)
        audit.note(Action.CREATE_TOKEN, user, token=view.api_id, scopes=wanted)
        return NewToken(secret, view)

    def revoke(self, user: str, token_id: str) -> int:
        """Delete a token; of one that an OAuth client got, all that this client got for the user.

        Returns how many were deleted; raises NotFound.
        """
        with self._db.session() as session:
            found = _user(session, user)
            row = session.scalar(
                select(ApiToken).where(
                    ApiToken.user_id == found.id, ApiToken.id == _row_id(token_id)
                )
            )
            if row is None:
                raise _no_token(token_id)
            which = [ApiToken.id == row.id]
            if row.oauth_client_id is not None:
                which = [
                    ApiToken.user_id == found.id, ApiToken.oauth_client_id == row.oauth_client_id
                ]  # fmt: skip
            ids = session.scalars(select(ApiToken.id).where(*which)).all()
            session.execute(delete(ApiToken).where(ApiToken.id.in_(ids)))
        log.info("%d tokens of user %s revoked", len(ids), user)
        audit.note(Action.REVOKE_TOKEN, user, tokens=[f"a{one}" for one in ids])
        return len(ids)

    @staticmethod
    def _check_room(session: Session, user: User, now: datetime) -> None:
        """Count the tokens that were asked for, and that haven't expired."""
        query = select(func.count()).where(
            ApiToken.user_id == user.id,
            ApiToken.server_id.is_(None),
            ApiToken.oauth_client_id.is_(None),
            or_(ApiToken.expires.is_(None), ApiToken.expires > now),
        )
        if (session.scalar(query) or 0) >= _TOKENS_MAX:
            raise _cannot(f"the user has {_TOKENS_MAX} tokens already; revoke some of them")

    def _wanted(self, scopes: Sequence[str] | None, roles: Sequence[str] | None) -> list[str]:
        if scopes is not None and roles is not None:
            raise _cannot("the request has scopes and roles, and only one of them is allowed")
        if scopes is None:
            try:
                of_roles = [self._roles[name] for name in (["token"] if roles is None else roles)]
            except KeyError as err:
                raise _cannot(f"there is no role {str(err.args[0])[:100]!r}") from err
            scopes = [scope for role in of_roles for scope in role.scopes]
        if len(scopes) > _SCOPES_MAX:
            raise _cannot(f"it would have more than {_SCOPES_MAX} scopes")
        for scope in scopes:
            if len(scope) > _SCOPE_MAX:
                raise _cannot(f"it would have a scope of more than {_SCOPE_MAX} characters")
            why = self._roles.why_unknown(scope)
            if why:
                raise _cannot(why)
        return list(dict.fromkeys(scopes))

    def _check_held(self, wanted: Iterable[str], user: str, held: Scopes) -> None:
        asked = self._roles.expand(wanted, Bearer(user=user))
        common = asked.intersect(held, self._groups_of)
        beyond = sorted(set(asked.listed()) - set(common.listed()))
        if beyond:
            shown = ", ".join(beyond[:10])
            raise _cannot(f"the user {user!r} does not hold these scopes: {shown}")

    def _check_within(self, wanted: list[str], user: str, held: Scopes, within: Scopes) -> None:
        """A narrow token must not make a wide one."""
        asked = held if "inherit" in wanted else self._roles.expand(wanted, Bearer(user=user))
        beyond = sorted(
            set(asked.listed()) - set(asked.intersect(within, self._groups_of).listed())
        )
        if beyond:
            shown = ", ".join(beyond[:10])
            raise _cannot(f"the token that asks for it does not hold these scopes: {shown}")

    def _lifetime(self, seconds: int | None) -> timedelta | None:
        longest = self.max_age_seconds
        if seconds is None:
            return None if longest is None else timedelta(seconds=longest)
        if seconds < 1:
            raise _cannot("expires_in is a number of seconds, at least 1, or null")
        if longest is not None and seconds > longest:
            raise _cannot(f"expires_in is {seconds}, and {longest} seconds is the most")
        if seconds > _LONGEST.total_seconds():
            raise _cannot("expires_in is longer than a hundred years")
        return timedelta(seconds=seconds)

    def _views(self, session: Session, user: User, *where: ColumnElement[bool]) -> list[TokenView]:
        query = (
            select(ApiToken, OAuthClient.description, OAuthClient.name)
            .outerjoin(OAuthClient, OAuthClient.id == ApiToken.oauth_client_id)
            .where(*where)
        )
        held = self._scopes_of(session, user)
        return [
            TokenView(
                id=row.id,
                user=user.name,
                scopes=effective_scopes(
                    row.scopes, held, Bearer(user=user.name), self._roles, self._groups_of
                ).listed(),
                written=row.scopes,
                note=row.note,
                created=row.created,
                expires=row.expires,
                last_activity=row.last_activity,
                session_id=row.session_id,
                oauth_client=description or name or _OURSELVES,
                own=row.oauth_client_id is None and row.server_id is None,
                by_oauth=row.oauth_client_id is not None,
            )
            for row, description, name in session.execute(query)
        ]

    def scopes_of(self, user: str) -> Scopes:
        """All that a user may do now."""
        with self._db.session() as session:
            return self._scopes_of(session, _user(session, user))

    def _scopes_of(self, session: Session, user: User) -> Scopes:
        grants = read_grants(session, user.id)
        return self._roles.scopes_of_user(
            user.name,
            admin=user.admin,
            groups=grants.groups,
            shared=grants.shared,
            teaches=grants.teaches,
        )


def effective_scopes(
    scopes: Iterable[str], held: Scopes, bearer: Bearer, roles: Roles, groups_of: GroupsOf
) -> Scopes:
    """What a token of these scopes may do now, never beyond what its owner holds."""
    scopes = list(scopes)
    if "inherit" in scopes:
        return held
    return roles.expand((*scopes, *IDENTIFY), bearer).intersect(held, groups_of)


def _user(session: Session, name: str) -> User:
    row = session.scalar(select(User).where(User.name == name))
    if row is None:
        raise NoSuchUser(name)
    return row


def _row_id(token_id: str) -> int:
    digits = token_id[1:]
    # As long as a row's number may be, and ASCII alone.
    if token_id[:1] != "a" or not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise _no_token(token_id)
    return int(digits)


def _no_token(token_id: str) -> NotFound:
    return NotFound(f"cannot find the token {token_id[:40]!r}", why="the user has no such token")


def _cannot(why: str) -> BadRequest:
    return BadRequest("cannot make the token", why=why)
