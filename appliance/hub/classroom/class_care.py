"""What teachers and admins do with a class and its people; pages and API call the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from appliance.access.principal import Kind, Principal
from appliance.errors import BadRequest, Conflict, NotAllowed
from appliance.hub.classroom.archives import ArchiveView
from appliance.hub.classroom.classes import Classes, ClassView, class_exists, parse_title
from appliance.hub.classroom.people import People
from appliance.hub.classroom.rights import Rights
from appliance.hub.classroom.terms import Terms
from appliance.hub.groups import Groups
from appliance.hub.new_accounts import Created, Skipped, Wish
from appliance.hub.users import Person, Users
from appliance.interfaces import ClassFiles
from appliance.names import Username, parse_group_name, parse_username
from appliance.texts import say

NAMES_AT_ONCE: Final = 500


class ClassCare:
    """Asks `Rights` first, does it, and tells `People`."""

    def __init__(
        self,
        *,
        classes: Classes,
        people: People,
        rights: Rights,
        groups: Groups,
        users: Users,
        terms: Terms,
        files: ClassFiles,
    ) -> None:
        self._classes = classes
        self._people = people
        self._rights = rights
        self._groups = groups
        self._users = users
        self._terms = terms
        self._files = files

    # Classes

    async def create(
        self, who: Principal, *, title: str, name: str = "", teacher: str = ""
    ) -> tuple[ClassView, Created | None]:
        """Make a class; a teacher who has no account gets one, with a password to hand out."""
        check_admin(who, "cannot make classes")
        parse_title(title)
        # All of it is looked at first: an account's password is told once, with the class.
        wanted = parse_group_name(name or self._free_name(title))
        if self._classes.find(wanted):
            raise class_exists(wanted)
        user, made = await self._account(teacher) if teacher else (None, None)
        one = self._classes.create(wanted, title=title, teachers=[user] if user else [])
        await self._people.changed(one.name)
        return one, made

    async def change(
        self, who: Principal, name: str, *, title: str | None = None,
        must_approve: bool | None = None, frozen: bool | None = None,
    ) -> ClassView:  # fmt: skip
        """Set what is given."""
        self._rights.check_may_run(who, name)
        given = {"title": title, "must_approve": must_approve, "frozen": frozen}
        values = {key: value for key, value in given.items() if value is not None}
        return self._classes.change(name, **values) if values else self._classes.get(name)

    async def remove(self, who: Principal, name: str) -> None:
        """Remove a class with its folder, and keep no archive; accounts and homes stay."""
        check_admin(who, "cannot delete classes")
        one = self._classes.get(name)
        if self._terms.under_way(name):
            raise Conflict(
                say("cannot delete the class {name!r}", name=name),
                why="it is going into an archive at this moment",
                mend="wait until it is ready",
            )
        await self._stop([*self._classes.members(name), *one.teachers])
        await self._files.forget_class(name)
        self._classes.remove(name)
        self._users.tell_ends(one.teachers)

    def archive(self, who: Principal, name: str, *, anew: bool) -> ArchiveView:
        """Begin to put a class into an archive."""
        self._rights.check_may_run(who, name)
        return self._terms.archive(name, by=who.name, anew=anew)

    # Teachers

    async def add_teacher(
        self, who: Principal, name: str, teacher: str, *, full_name: str = ""
    ) -> Created | None:
        """Let somebody teach a class; made is the account that they didn't have, if so."""
        check_admin(who, "cannot say who teaches")
        self._classes.get(name)
        user, made = await self._account(teacher, full_name)
        self._classes.add_teacher(name, user)
        await self._people.changed(name)
        return made

    async def remove_teacher(self, who: Principal, name: str, teacher: str) -> None:
        """Take a class from a teacher; what she opened by it closes at once."""
        check_admin(who, "cannot say who teaches")
        user = self._users.get(teacher).name
        self._classes.remove_teacher(name, user)
        self._users.tell_ends([user])
        await self._people.changed(name, left=[user])

    # Students

    async def add(
        self, who: Principal, name: str, wishes: Sequence[Wish], *, generate: bool = True
    ) -> Created:
        """Make accounts that are in the class; those whom who already looks after come in, too.

        Those with rights over others are left out, unless it is an admin who asks. Others who have
        an account join by themselves, with a code, or by an admin.
        """
        self._rights.check_may_fill(who, name)
        self._classes.get(name)
        if len(wishes) > NAMES_AT_ONCE:
            raise BadRequest(
                "cannot add so many people at once",
                why=say("the list has {count} names, and {most} is the most",
                        count=len(wishes), most=NAMES_AT_ONCE),
            )  # fmt: skip
        known: list[Username] = []
        new: list[Wish] = []
        refused: list[Skipped] = []
        for wish in wishes:
            person = self._looked_after(who, wish.name)
            if person is None:
                new.append(Wish(wish.name, wish.full_name, wish.email, wish.language, (name,)))
                continue
            try:
                # A class may give its teachers rights over whoever is in it.
                self._rights.check_not_above(who, person, self._groups.of(person.name))
            except NotAllowed as error:
                refused.append(Skipped(person.name, error.why))
            else:
                known.append(person.name)
        if known:
            self._groups.add_users(name, known)
        made = await self._users.create_many(new, generate=generate)
        await self._people.changed(name, joined=[*known, *(one.name for one in made.created)])
        return Created(made.created, [*made.skipped, *refused])

    async def put_in(self, who: Principal, name: str, users: Sequence[str]) -> list[Username]:
        """Put people into a class who have an account; returns those who weren't in it."""
        check_admin(who, "cannot put people into classes")
        self._classes.get(name)
        before = set(self._classes.members(name))
        self._groups.add_users(name, users)
        joined = [user for user in dict.fromkeys(map(parse_username, users)) if user not in before]
        await self._people.changed(name, joined=joined)
        return joined

    async def take_out(self, who: Principal, name: str, users: Sequence[str]) -> list[Username]:
        """Take people out of a class; accounts and homes stay, servers stop."""
        self._rights.check_may_run(who, name)
        self._classes.get(name)
        members = set(self._classes.members(name))
        leaving = [user for user in dict.fromkeys(map(parse_username, users)) if user in members]
        if leaving:
            self._groups.remove_users(name, leaving)
            await self._people.changed(name, left=leaving)
        return leaving

    async def lock(self, who: Principal, user: str) -> Person:
        """Keep somebody out; sessions, tokens and servers end at once."""
        person = self._check_manage(who, user)
        if who.kind is Kind.USER and who.name == person.name:
            raise Conflict("cannot lock yourself", mend="ask another admin")
        return await self._users.lock(person.name)

    def unlock(self, who: Principal, user: str) -> Person:
        """Let somebody in again who was locked out."""
        return self._users.unlock(self._check_manage(who, user).name)

    async def _account(self, name: str, full_name: str = "") -> tuple[Username, Created | None]:
        """The user of that name, and the account if it was made for them now."""
        user = parse_username(name)
        if self._users.find(user):
            return user, None
        made = await self._users.create_many(
            [Wish(user, full_name)], generate=True, all_or_none=True
        )
        if not made.created:
            raise Conflict(say("cannot make the user {name!r}", name=user), why=made.skipped[0].why)
        return user, made

    def _check_manage(self, who: Principal, user: str) -> Person:
        person = self._users.get(user)
        self._rights.check_may_manage(who, person, self._groups.of(person.name))
        return person

    def _looked_after(self, who: Principal, name: str) -> Person | None:
        """The account of that name, if there is one with which who asks has to do."""
        person = self._users.find(name)
        if person is None or not self._rights.may_see(who, person, self._groups.of(person.name)):
            return None
        return person

    async def _stop(self, users: Sequence[Username]) -> None:
        for user in dict.fromkeys(users):
            await self._users.stop_servers(user)

    def _free_name(self, title: str) -> str:
        """A short name made of the title, which no group has."""
        text = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
        slug = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:40].strip("-")
        if not title.strip():
            raise BadRequest("cannot make the class", why="it needs a title")
        slug = slug or "class"
        taken = {group.name for group in self._groups.list_page(limit=100_000).items}
        number = 1
        while (name := slug if number == 1 else f"{slug}-{number}") in taken:
            number += 1
        return name


def check_admin(who: Principal, what: str) -> None:
    """Raise NotAllowed for who is no admin."""
    if not who.admin:
        raise NotAllowed(what, why="only admins may", mend="ask an admin")
