"""Lists of people for whoever asks: what each row would become, with their rights and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from appliance.access.principal import Principal
from appliance.db.session import Database
from appliance.errors import ApplianceError, Conflict
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.rights import CLASSROOM, Rights
from appliance.hub.classroom.roster_check import Aim, Row, RowState, check_rows, read_accounts
from appliance.hub.classroom.roster_desk import Draft, Job, RosterDesk
from appliance.hub.groups import Groups
from appliance.hub.user_lists import Wanted
from appliance.hub.users import Person, Users
from appliance.names import Username
from appliance.texts import say

_EVERYBODY = 100_000


class Rosters:
    """What pages, API and command line do with lists of people."""

    def __init__(
        self,
        *,
        db: Database,
        users: Users,
        groups: Groups,
        classes: Classes,
        rights: Rights,
        desk: RosterDesk,
    ) -> None:
        self._db = db
        self._users = users
        self._groups = groups
        self._classes = classes
        self._rights = rights
        self._desk = desk

    def aim(self, who: Principal, group: str) -> Aim:
        """Where a list may go: a class, or with "" where its rows say; raises NotAllowed."""
        if group:
            self._rights.check_may_fill(who, group)
            return Aim(self._classes.get(group).name)
        self._rights.check_may_add(who)
        return Aim(may_create=who.admin)

    def rows(self, who: Principal, draft: Draft) -> list[Row]:
        """What would become of each row of a list now."""
        accounts = read_accounts(self._db, self._classes, who.scopes.filters(CLASSROOM))
        rows = check_rows(draft.entries(), accounts, draft.aim)
        return rows if who.admin else [self._allowed(who, row) for row in rows]

    def _allowed(self, who: Principal, row: Row) -> Row:
        """The row, or why it isn't for who asks: whoever has rights over others is for admins to
        add, for a class may give its teacher rights over its members."""
        try:
            if row.group and row.state in {RowState.NEW, RowState.JOIN}:
                self._rights.check_may_fill(who, row.group)
            if row.state is RowState.JOIN:
                groups = self._groups.of(row.name)
                self._rights.check_may_manage(who, self._users.get(row.name), groups)
        except ApplianceError as error:
            mend = say("an admin can add this account to the class")
            return replace(row, state=RowState.WRONG, name="", why=error.why, mend=mend)
        return row

    async def make(self, who: Principal, draft: Draft) -> tuple[list[Row], Job]:
        """Make what can be made of a list, at once; the rows are as they were before."""
        rows = self.rows(who, draft)
        job = Job(len(rows), who.name, draft.aim.group)
        await self._desk.make(rows, job)
        return rows, job

    def why_not(self, who: Principal, person: Person) -> ApplianceError | None:
        """What keeps whoever asks from giving somebody a new password; None if nothing does."""
        try:
            if person.name == who.name:
                raise Conflict(
                    "cannot make a password for yourself", why="change yours on your own page"
                )
            self._rights.check_may_manage(who, person, self._groups.of(person.name))
        except ApplianceError as error:
            return error
        return None

    async def new_passwords(self, who: Principal, group: str, names: Sequence[str]) -> Job:
        """Give members of a class new passwords; raises for the first that may not be changed."""
        self._rights.check_may_run(who, group)
        wanted = Wanted(group=self._classes.get(group).name, only=frozenset(names))
        people = self._users.list_wanted(wanted, limit=len(names) or 1).items
        known = {person.name for person in people}
        missing = next((name for name in names if name not in known), None)
        if missing is not None:
            raise Conflict(
                "cannot make the passwords",
                why=say("{name!r} is not in the class", name=missing[:60]),
            )
        for person in people:
            refusal = self.why_not(who, person)
            if refusal:
                raise refusal
        chosen = [Username(name) for name in dict.fromkeys(names)]
        job = Job(len(chosen), who.name, group)
        await self._desk.reset(chosen, job, lambda person: self.why_not(who, person))
        return job

    def people(self, who: Principal, group: str) -> list[tuple[Person, Sequence[str]]]:
        """Everybody in a class, or with "" everybody at all, with their classes; for a file."""
        if group:
            self._rights.check_may_run(who, group)
            wanted = Wanted(group=self._classes.get(group).name)
            found = self._users.list_wanted(wanted, limit=_EVERYBODY, sort="full_name").items
            return [(person, [group]) for person in found]
        self._rights.check_may_add(who)
        everybody = self._users.list_wanted(Wanted(), limit=_EVERYBODY, sort="name").items
        groups = self._groups.of_users([person.name for person in everybody])
        return [(person, sorted(groups.get(person.name, ()))) for person in everybody]
