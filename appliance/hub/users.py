"""The people the hub knows: making, approving, listing and removing accounts.

Removing is one commit that ends every right at once; what remains to be done elsewhere (servers,
the Unix account) is written down in the same commit and done until it is done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import CompoundSelect, delete, func, select, union
from sqlalchemy.orm import Session

from appliance import audit
from appliance.access.scopes import Filters
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.class_models import Teaching
from appliance.db.models import (
    ApiToken,
    Departure,
    Group,
    LoginSession,
    Membership,
    OAuthCode,
    OneTimeLink,
    User,
    UserState,
)
from appliance.db.session import Database
from appliance.errors import ApplianceError, BadRequest, Conflict, NoSuchUser
from appliance.hub.links import end_links_by_teachers
from appliance.hub.new_accounts import Created, NewAccounts, Wish
from appliance.hub.new_accounts import NewUser as NewUser
from appliance.hub.new_accounts import Skipped as Skipped
from appliance.hub.renames import Renames
from appliance.hub.servers import Servers
from appliance.hub.settled import check_settled
from appliance.hub.user_lists import ActiveFilter as ActiveFilter
from appliance.hub.user_lists import Counts, PageSort, UserLists, Wanted
from appliance.hub.user_lists import Page as Page
from appliance.hub.user_lists import Person as Person
from appliance.hub.user_lists import Sort as Sort
from appliance.interfaces import Spawner
from appliance.names import CHECK_USERS, Username, parse_full_name, parse_username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.texts import say

log = logging.getLogger(__name__)


class Users:
    """All accounts."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        authenticator: NativeAuthenticator,
        servers: Servers,
        spawner: Spawner,
    ) -> None:
        self._db = db
        self._clock = clock
        self._lists = UserLists(db=db)
        self._accounts = NewAccounts(db=db, clock=clock, authenticator=authenticator)
        self._servers = servers
        self._spawner = spawner
        self._renames = Renames(db=db, clock=clock, spawner=spawner)
        self._followers: list[Callable[[Username], None]] = []
        self._mourners: list[Callable[[list[str]], None]] = []

    def follow_ends(self, follower: Callable[[Username], None]) -> None:
        """Tell it of each user whose rights shrink or end, so that what is open closes at once."""
        self._followers.append(follower)

    def follow_removals(self, follower: Callable[[list[str]], None]) -> None:
        """Tell it of the groups and classes that a removed user was in or taught."""
        self._mourners.append(follower)

    def find(self, name: str) -> Person | None:
        """The user of that name in any spelling; None for names that nobody can have."""
        try:
            name = parse_username(name)
        except BadRequest:
            return None
        return self._lists.find(name)

    def get(self, name: str) -> Person:
        found = self.find(name)
        if found is None:
            raise NoSuchUser(name)
        return found

    def list_page(
        self,
        *,
        offset: int = 0,
        limit: int = 50,
        search: str = "",
        state: UserState | None = None,
        sort: Sort = "name",
        servers: ActiveFilter | None = None,
        only: Iterable[str] | None = None,
        within: Filters = None,
    ) -> Page:
        """A page of users, kept to those with or without active servers, or to some names.

        `within` are filters of a scope by users and groups, of which one must fit.
        """
        wanted = Wanted(
            search=search, state=state, servers=servers, within=within,
            only=None if only is None else frozenset(only),
        )  # fmt: skip
        return self._lists.page(wanted, offset=offset, limit=limit, sort=sort)

    def list_wanted(
        self, wanted: Wanted, *, offset: int = 0, limit: int = 50, sort: Sort | PageSort = "name"
    ) -> Page:
        """A page of the users that somebody looks for."""
        return self._lists.page(wanted, offset=offset, limit=limit, sort=sort)

    def counts(self) -> Counts:
        return self._lists.counts()

    def active_since(self, moments: Mapping[str, datetime]) -> dict[str, int]:
        """How many users have been active since each moment."""
        counts = [func.count().filter(User.last_activity >= since) for since in moments.values()]
        with self._db.session() as session:
            query = select(*counts).where(User.name.not_in(CHECK_USERS))
            return dict(zip(moments, session.execute(query).one(), strict=True))

    async def create_many(
        self,
        names: Sequence[str | Wish],
        *,
        admin: bool = False,
        generate: bool = False,
        approved: bool = True,
        all_or_none: bool = False,
    ) -> Created:
        """Make an account for each name that is legal and free; one commit for all of them.

        With `all_or_none`, one name that isn't legal raises BadRequest; those taken are skipped.
        Whoever puts them into classes calls `People.changed` for each.
        """
        wishes = [one if isinstance(one, Wish) else Wish(one) for one in names]
        return await self._accounts.make(
            wishes, admin=admin, generate=generate, approved=approved, all_or_none=all_or_none
        )

    def approve(self, name: str) -> Person:
        """Let a waiting user in; approving an active one changes nothing, nor a locked one."""
        if self._move(name, UserState.WAITING, UserState.ACTIVE):
            log.info("user %s approved", name)
            audit.note(Action.APPROVE_USER, name)
        return self.get(name)

    async def lock(self, name: str) -> Person:
        """Keep a user out until `unlock`; sessions, tokens, links and servers end at once."""
        person = self.get(name)
        if person.admin:
            self._check_not_last_admin(name)
        if person.state is UserState.WAITING:
            raise Conflict(
                say("cannot lock the user {name!r}", name=name),
                why="the user waits for approval and can't log in anyway",
                mend="reject the user instead",
            )
        if self._move(person.name, UserState.ACTIVE, UserState.LOCKED):
            log.info("user %s locked", person.name)
            audit.note(Action.LOCK_USER, person.name)
            self.tell_ends([person.name])
        await self.stop_servers(person.name)
        return self.get(name)

    def unlock(self, name: str) -> Person:
        """Let a locked user in again; the password is as it was."""
        if self._move(name, UserState.LOCKED, UserState.ACTIVE):
            log.info("user %s unlocked", name)
            audit.note(Action.UNLOCK_USER, name)
        return self.get(name)

    def _move(self, name: str, before: UserState, after: UserState) -> bool:
        """Change a user's state if it is `before`; of two who do it at once, one did it."""
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == name, User.state == before))
            if row is None:
                return False
            row.state = after
            if after is UserState.LOCKED:
                _end_all(session, row.id)
            return True

    def set_full_name(self, name: str, full_name: str) -> Person:
        """Change what people call a user."""
        parsed = parse_full_name(full_name)
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == name))
            if row is None:
                raise NoSuchUser(name)
            row.full_name = parsed
        return self.get(name)

    async def stop_servers(self, name: Username) -> None:
        """Begin to stop all that runs of a user."""
        for view in self._servers.of_user(name):
            if view.active:
                await self._servers.stop(view.server, wait=0.0)

    def set_admin(self, name: str, *, admin: bool) -> Person:
        """Make a user an admin, or no admin; the last one stays."""
        changed = False
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == name))
            if row is not None and row.admin != admin:
                if not admin:
                    self._check_not_last_admin(name)
                else:
                    end_links_by_teachers(session, row.id)
                row.admin, changed = admin, True
        if changed:
            log.info("user %s is %s admin", name, "an" if admin else "no longer an")
            audit.note(Action.MAKE_ADMIN if admin else Action.UNMAKE_ADMIN, name)
            if not admin:
                self.tell_ends([Username(name)])
        return self.get(name)

    async def rename(self, person: Person, new: str) -> Person:
        """Give a user another name; raises BadRequest if that can't be now, or never."""
        return self.get(await self._renames.rename(person.name, new))

    async def remove(self, name: str) -> None:
        """Remove a user with all rights and sessions; files stay with the retired account."""
        person = self.get(name)
        if person.admin:
            self._check_not_last_admin(name)
        with self._db.session() as session:
            check_settled(session, person.name)
            groups = list(session.scalars(_groups_of(person.id)))
            session.merge(Departure(name=person.name, since=self._clock.now()))
            session.execute(delete(User).where(User.id == person.id))
        log.info("user %s removed", person.name)
        audit.note(Action.REMOVE_USER, person.name)
        self.tell_ends([person.name])
        for follower in self._mourners:
            follower(groups)
        await self.finish_departures([person.name])

    async def finish_renames(self) -> None:
        """Tell the spawner of new names it hasn't heard of; try failures again."""
        await self._renames.finish()

    async def finish_departures(self, names: Iterable[Username] | None = None) -> None:
        """Stop what removed users left running and retire their accounts; try failures again."""
        if names is None:
            with self._db.session() as session:
                names = [Username(name) for name in session.scalars(select(Departure.name))]
        for name in names:
            try:
                await self._servers.forget_user(name)
                await self._spawner.forget_user(name)
            except ApplianceError as err:
                log.warning("cannot finish the removal of %s yet: %s", name, err)
                continue
            with self._db.session() as session:
                session.execute(delete(Departure).where(Departure.name == name))

    def _check_not_last_admin(self, name: str) -> None:
        query = select(func.count()).where(
            User.admin.is_(True), User.state == UserState.ACTIVE, User.name != name
        )
        with self._db.session() as session:
            others = session.scalar(query) or 0
        if not others:
            raise Conflict(
                "cannot leave the appliance without an admin",
                why=f"{name!r} is the only one",
                mend="make somebody else an admin first",
            )

    def tell_ends(self, users: Iterable[Username]) -> None:
        """Say that rights of these users shrank or ended; call it after the commit."""
        for user in users:
            for follower in self._followers:
                follower(user)


def _groups_of(user_id: int) -> CompoundSelect[str]:
    """What a user is in or teaches."""
    return union(
        select(Group.name)
        .join(Membership, Membership.group_id == Group.id)
        .where(Membership.user_id == user_id),
        select(Group.name)
        .join(Teaching, Teaching.group_id == Group.id)
        .where(Teaching.user_id == user_id),
    )


def _end_all(session: Session, user_id: int) -> None:
    """End what a user opened; the tokens of the user's servers end with these."""
    for table in (LoginSession, OAuthCode, OneTimeLink):
        session.execute(delete(table).where(table.user_id == user_id))
    session.execute(
        delete(ApiToken).where(ApiToken.user_id == user_id, ApiToken.server_id.is_(None))
    )
