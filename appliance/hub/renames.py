"""New names for users: rights, groups, tokens and files stay, for they hang on numbers.

The hub's part is one commit, which also notes what the spawner has yet to do; that is done until
it is done, and undone if the spawner refuses. Until then nobody may take the old name, for its
account would be theirs, and the user's server doesn't start, for it would get an empty home.
"""

from __future__ import annotations

import logging

from sqlalchemy import delete, select

from appliance import audit
from appliance.audit import Action, Outcome
from appliance.clock import Clock
from appliance.db.models import Rename, Server, User
from appliance.db.session import Database
from appliance.errors import ApplianceError, BadRequest, NoSuchUser, SpawnRefused
from appliance.hub import stored_scopes
from appliance.hub.server_rows import ACTIVE
from appliance.hub.settled import check_settled, taken
from appliance.interfaces import Spawner
from appliance.names import Username, parse_username

log = logging.getLogger(__name__)


class Renames:
    """Gives users other names."""

    def __init__(self, *, db: Database, clock: Clock, spawner: Spawner) -> None:
        self._db = db
        self._clock = clock
        self._spawner = spawner

    async def rename(self, user: Username, new: str) -> Username:
        """Give a user another name, and return it as it is written.

        Raises BadRequest for a name that isn't legal or free, or while a server of the user runs.
        """
        name = parse_username(new)
        if name == user:
            return user
        self._begin(user, name)
        log.info("user %s is called %s now", user, name)
        refusal = await self._finish(user, name)
        outcome = Outcome.REFUSED if refusal else Outcome.DONE
        audit.note(Action.RENAME_USER, user, name, outcome=outcome)
        if refusal:
            raise _cannot(user, refusal.why, mend=refusal.mend) from refusal
        return name

    async def finish(self) -> None:
        """Tell the spawner what it hasn't heard or done yet."""
        with self._db.session() as session:
            pending = session.execute(select(Rename.old, Rename.new)).all()
        for old, new in pending:
            await self._finish(Username(old), Username(new))

    def _begin(self, user: Username, name: Username) -> None:
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                raise NoSuchUser(user)
            why = taken(session, [name]).get(name)
            if why:
                raise _cannot(user, why, mend="choose another name")
            check_settled(session, user)
            active = select(Server.id).where(Server.user_id == row.id, Server.state.in_(ACTIVE))
            if session.scalar(active.limit(1)) is not None:
                raise _cannot(user, "a server of the user is running", mend="stop it first")
            row.name = name
            stored_scopes.rename_user(session, user, name)
            session.add(Rename(old=user, new=name, since=self._clock.now()))

    async def _finish(self, old: Username, new: Username) -> SpawnRefused | None:
        """Returns why the spawner refused, if it did; then all is as it was."""
        try:
            await self._spawner.rename_user(old, new)
        except SpawnRefused as err:
            log.warning("user %s can't be renamed %s: %s", old, new, err)
            self._undo(old, new)
            return err
        except ApplianceError as err:
            log.warning("cannot finish to rename %s %s yet: %s", old, new, err)
            return None
        with self._db.session() as session:
            session.execute(delete(Rename).where(Rename.old == old))
        return None

    def _undo(self, old: Username, new: Username) -> None:
        with self._db.session() as session:
            if session.get(Rename, old) is None:
                return
            session.execute(delete(Rename).where(Rename.old == old))
            row = session.scalar(select(User).where(User.name == new))
            if row is not None:
                row.name = old
                stored_scopes.rename_user(session, new, old)


def _cannot(user: Username, why: str, *, mend: str = "") -> BadRequest:
    return BadRequest(f"cannot rename the user {user!r}", why=why, mend=mend)
