"""What the database says about single-user servers: their state, token and OAuth client.

Each change of state is one commit, made before what it announces is done, so that a hub that dies
at any moment finds out at its next start what it had been doing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, bindparam, delete, func, select
from sqlalchemy.orm import Session

from appliance.access.roles import Roles, server_scope
from appliance.access.tokens import hash_secret
from appliance.clock import Clock
from appliance.db.models import ApiToken, OAuthClient, Server, User, UserState
from appliance.db.session import Database
from appliance.errors import BadRequest, Conflict, NotFound
from appliance.hub import stored_scopes
from appliance.hub.settled import check_settled
from appliance.hub.states import PENDING, ServerState, check_change
from appliance.names import ServerId, ServerName, Username
from appliance.systemd_spawner.environment import client_id
from appliance.texts import say

log = logging.getLogger(__name__)

ACTIVE: Final = (ServerState.STARTING, ServerState.READY, ServerState.STOPPING)

_SERVERS: Final = (
    select(
        User.name.label("user"),
        Server.name,
        Server.state,
        Server.started,
        Server.last_activity,
        Server.failure,
        Server.user_options,
        Server.display_name,
    )
    .select_from(Server)
    .join(User, User.id == Server.user_id)
)
# Made once, because a list of names is long and each page of users has one.
_OF_USERS: Final = _SERVERS.where(User.name.in_(bindparam("names", expanding=True)))


@dataclass(frozen=True, slots=True)
class FailureNote:
    """Why a server did not start or did not stay; the log lines are for admins."""

    what: str
    why: str = ""
    mend: str = ""
    log: tuple[str, ...] = ()
    kind: str = ""
    """Of errors while starting: the name of their class."""
    ended: bool = False
    """It had started, and ended by itself."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server as pages and API show it."""

    server: ServerId
    state: ServerState
    url: str
    started: datetime | None = None
    last_activity: datetime | None = None
    failure: FailureNote | None = None
    options: dict[str, Any] = field(default_factory=dict)
    display_name: str = ""
    queue_position: int | None = None

    @property
    def ready(self) -> bool:
        return self.state is ServerState.READY

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def title(self) -> str:
        """What people call it; empty for a default server."""
        return self.display_name or self.server.name

    @property
    def pending(self) -> str | None:
        """JupyterHub's word for a state on the way: spawn or stop."""
        return PENDING.get(self.state)


class ServerRows:
    """Reads and changes the servers' rows."""

    def __init__(self, *, db: Database, clock: Clock, roles: Roles, base_url: str) -> None:
        self._db = db
        self._roles = roles
        self._clock = clock
        self._base_url = base_url
        self._followers: list[Callable[[ServerId, ServerState], None]] = []

    def follow(self, follower: Callable[[ServerId, ServerState], None]) -> None:
        """Tell it of every change of a server's state from now on, after the commit."""
        self._followers.append(follower)

    def tell(self, server: ServerId, state: ServerState) -> None:
        """For changes that aren't made here: a row that went with its user."""
        for follower in self._followers:
            follower(server, state)

    def view(self, server: ServerId) -> ServerView:
        """A server as it is known; one that never ran is stopped."""
        found = self._views(User.name == server.user, Server.name == server.name)
        return found[0] if found else self.never_ran(server)

    def known(self, server: ServerId) -> bool:
        """Whether there is a row: it was started at least once."""
        return bool(self._views(User.name == server.user, Server.name == server.name))

    def of_users(self, names: Sequence[str]) -> dict[str, list[ServerView]]:
        """The servers of some users, each one's default server first; of those who ever had one."""
        found: dict[str, list[ServerView]] = {}
        with self._db.reading() as connection:
            rows = connection.execute(_OF_USERS, {"names": list(names)}).all()
        for row in rows:
            found.setdefault(row.user, []).append(self._view(row))
        for name, views in found.items():
            views.sort(key=lambda view: view.server.name)
            if views[0].server.name:
                views.insert(0, self.never_ran(ServerId(Username(name))))
        return found

    def active(self) -> list[ServerView]:
        """Every server that runs or is on its way."""
        return self._views(Server.state.in_(ACTIVE))

    def counts(self) -> dict[ServerState, int]:
        """How many servers there are in each state."""
        query = select(Server.state, func.count()).group_by(Server.state)
        with self._db.session() as session:
            found: dict[str, int] = {row[0]: row[1] for row in session.execute(query)}
        return {state: found.get(state, 0) for state in ServerState}

    def create(
        self, server: ServerId, *, display_name: str = "", options: dict[str, Any] | None = None
    ) -> None:
        """Keep a named server that was never started."""
        with self._db.session() as session:
            user = session.scalar(select(User).where(User.name == server.user))
            if user is None:
                raise NotFound(f"cannot make the server {server}", why="no such user")
            if self._row(session, server) is not None:
                raise Conflict(
                    f"cannot make the server {server}", why="there is such a server already"
                )
            session.add(
                Server(
                    user_id=user.id,
                    name=server.name,
                    state=ServerState.STOPPED,
                    display_name=display_name,
                    user_options=options or {},
                )
            )

    def edit(
        self,
        server: ServerId,
        *,
        name: ServerName | None,
        display_name: str | None,
        options: dict[str, Any] | None,
    ) -> None:
        """Change a server that doesn't run; what is shared of it stays so under a new name."""
        with self._db.session() as session:
            row = self._row(session, server)
            if row is None:
                raise NotFound(f"cannot find the server {server}", why="no such server")
            if ServerState(row.state) in ACTIVE:
                raise BadRequest(
                    f"cannot change the server {server}", why="it is running", mend="stop it first"
                )
            if name is not None:
                new = ServerId(server.user, name)
                if not name or self._row(session, new) is not None:
                    raise Conflict(
                        f"cannot name the server {server} {name!r}",
                        why="there is such a server already",
                    )
                row.name = name
                stored_scopes.rename_server(session, server, new)
            if display_name is not None:
                row.display_name = display_name
            if options is not None:
                row.user_options = options

    def begin_start(
        self,
        server: ServerId,
        token: str,
        *,
        options: dict[str, Any] | None = None,
        display_name: str | None = None,
    ) -> None:
        """Note that a server is starting, with its token and OAuth client, in one commit."""
        now = self._clock.now()
        with self._db.session() as session:
            user = session.scalar(select(User).where(User.name == server.user))
            if user is None:
                raise NotFound(f"cannot start the server of {server.user!r}", why="no such user")
            if user.state != UserState.ACTIVE:
                raise _kept_out(server.user, user.state)
            check_settled(session, server.user)
            row = self._row(session, server) or Server(
                user_id=user.id, name=server.name, state=ServerState.STOPPED
            )
            check_change(ServerState(row.state), ServerState.STARTING)
            row.state, row.failure = ServerState.STARTING, None
            row.started = row.last_activity = now
            user.last_activity = now
            if options is not None:
                row.user_options = options
            if display_name is not None:
                row.display_name = display_name
            session.add(row)
            session.flush()
            self._forget_credentials(session, row.id)
            session.add_all(self._credentials(server, row, user, token, now))
        self.tell(server, ServerState.STARTING)

    def change(
        self, server: ServerId, new: ServerState, *, failure: FailureNote | None = None
    ) -> bool:
        """Put a server into a state; False if it has no row any more or is there already."""
        with self._db.session() as session:
            row = self._row(session, server)
            if row is None or row.state == new:
                return False
            check_change(ServerState(row.state), new)
            log.info("server %s: %s, was %s", server, new, row.state)
            row.state = new
            row.failure = asdict(failure) if failure else None
            if new not in ACTIVE:
                row.started = None
                self._forget_credentials(session, row.id)
        self.tell(server, new)
        return True

    def with_token(self) -> set[ServerId]:
        """The servers that, if they run, can identify themselves to the hub."""
        query = (
            select(User.name, Server.name)
            .join(Server, Server.user_id == User.id)
            .join(ApiToken, ApiToken.server_id == Server.id)
            .where(User.state == UserState.ACTIVE)
        )
        with self._db.session() as session:
            rows = session.execute(query)
            return {ServerId(Username(user), ServerName(name)) for user, name in rows}

    def note_activity(
        self, user: Username, last: datetime | None, servers: dict[ServerName, datetime]
    ) -> None:
        """Move activity forward; stamps in the future, of a clock that jumped, give way."""
        now = self._clock.now()
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                raise NotFound(f"cannot note the activity of {user!r}", why="no such user")
            if last and _moves(row.last_activity, last, now):
                row.last_activity = last
            for name, moment in servers.items():
                found = self._row(session, ServerId(user, name))
                if found and _moves(found.last_activity, moment, now):
                    found.last_activity = moment

    def forget(self, server: ServerId) -> None:
        """Delete a named server that doesn't run."""
        with self._db.session() as session:
            row = self._row(session, server)
            if row is not None:
                session.delete(row)

    def _views(self, *where: ColumnElement[bool]) -> list[ServerView]:
        with self._db.reading() as connection:
            return [self._view(row) for row in connection.execute(_SERVERS.where(*where))]

    def _view(self, row: Row[*tuple[Any, ...]]) -> ServerView:
        server = ServerId(Username(row.user), ServerName(row.name))
        return ServerView(
            server=server,
            state=ServerState(row.state),
            url=server.url_path(self._base_url),
            started=row.started,
            last_activity=row.last_activity,
            failure=_note(row.failure),
            options=row.user_options,
            display_name=row.display_name,
        )

    def never_ran(self, server: ServerId) -> ServerView:
        """How a server looks that has no row."""
        return ServerView(server, ServerState.STOPPED, server.url_path(self._base_url))

    @staticmethod
    def _row(session: Session, server: ServerId) -> Server | None:
        return session.scalar(
            select(Server)
            .join(User, User.id == Server.user_id)
            .where(User.name == server.user, Server.name == server.name)
        )

    @staticmethod
    def _forget_credentials(session: Session, server_id: int) -> None:
        """The server's token and OAuth client; by cascade also the tokens that browsers got."""
        session.execute(delete(ApiToken).where(ApiToken.server_id == server_id))
        session.execute(delete(OAuthClient).where(OAuthClient.server_id == server_id))

    def _credentials(
        self, server: ServerId, row: Server, user: User, token: str, now: datetime
    ) -> Iterable[ApiToken | OAuthClient]:
        hashed = hash_secret(token)
        prefix = server.url_path(self._base_url)
        yield ApiToken(
            hash=hashed,
            user_id=user.id,
            server_id=row.id,
            scopes=self._roles.server_scopes(server),
            note=f"Server at {prefix}",
            created=now,
        )
        yield OAuthClient(
            name=client_id(server),
            server_id=row.id,
            secret_hash=hashed,
            redirect_uri=f"{prefix}oauth_callback",
            description=f"Server at {prefix}",
            allowed_scopes=[server_scope(server)],
        )


def _kept_out(user: str, state: str) -> Conflict:
    what = say("cannot start the server of {name!r}", name=user)
    if state == UserState.LOCKED:
        return Conflict(what, why="the user is locked", mend="unlock the user first")
    return Conflict(what, why="the user waits for approval", mend="approve the user first")


def _moves(known: datetime | None, new: datetime, now: datetime) -> bool:
    return known is None or new > known or known > now


def _note(failure: dict[str, Any] | None) -> FailureNote | None:
    if failure is None:
        return None
    return FailureNote(
        failure["what"],
        failure["why"],
        failure["mend"],
        tuple(failure.get("log", ())),
        failure.get("kind", ""),
        failure.get("ended", False),
    )
