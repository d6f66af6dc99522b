"""Whose accounts somebody may look after: what pages, API and command line ask before they act.

A teacher sees the members of her classes and looks after them. Whoever holds rights of their own
beyond that is off limits for everybody but admins: with such a person's password one would hold
these rights too.
"""

from __future__ import annotations

from typing import Final

from appliance.access.principal import Principal, root
from appliance.access.roles import Roles
from appliance.access.scopes import Bearer, Scopes, Target
from appliance.errors import NotAllowed, NotFound
from appliance.hub.users import Person
from appliance.names import CHECK_USERS
from appliance.texts import say

CLASSROOM: Final = "classroom"
_MANAGE: Final = ("admin:users", CLASSROOM)
# Everybody holds these roles, or they are looked at by themselves.
_NOT_ASKED: Final = frozenset({"user", "admin", "teacher"})
# What a role may give to a class without making its members more than students.
_OF_SERVICES: Final = frozenset({"access:services", "read:services", "read:services:name"})


class Rights:
    """Decides by the scopes that people hold at this moment."""

    def __init__(self, *, roles: Roles) -> None:
        self._roles = roles

    def check_may_run(self, who: Principal, group: str) -> None:
        """Raise NotAllowed for who teaches nothing, NotFound for a class that isn't theirs."""
        if not who.scopes.has(CLASSROOM):
            raise NotAllowed(
                "cannot run classes", why="it is for teachers", mend="go back to your server"
            )
        if not who.scopes.allows(CLASSROOM, Target(group=group)):
            raise NotFound(
                say("cannot find the class {name!r}", name=group[:60]),
                why="it isn't there, or isn't yours",
            )

    def may_see(self, who: Principal, person: Person, groups: frozenset[str]) -> bool:
        """Whether they have to do with somebody; `groups` are the person's."""
        target = Target(user=person.name, groups=groups)
        return any(who.scopes.allows(scope, target) for scope in _MANAGE)

    def check_may_see(self, who: Principal, person: Person, groups: frozenset[str]) -> None:
        """Raise NotFound for somebody whom they know nothing of."""
        if not self.may_see(who, person, groups):
            raise _unknown(person)

    def check_may_manage(self, who: Principal, person: Person, groups: frozenset[str]) -> None:
        """Raise NotFound or NotAllowed unless they may have power over the account.

        That is: its password, links and second factors, to approve and to lock it.
        """
        self.check_may_see(who, person, groups)
        if person.name in CHECK_USERS and not who.admin:
            # Nobody's, and opened for seconds: a link or password of theirs would open it to them.
            raise _unknown(person)
        self.check_not_above(who, person, groups)

    def check_not_above(self, who: Principal, person: Person, groups: frozenset[str]) -> None:
        """Raise NotAllowed for an account by which they would hold more than they do."""
        if who.admin:
            return
        what = say("cannot change the user {name!r}", name=person.name)
        if person.admin:
            raise NotAllowed(what, why="only admins may change admins", mend="ask an admin")
        if who.scopes.filters("admin:users") is None:
            return
        if person.teaches:
            raise NotAllowed(what, why="only admins may change teachers", mend="ask an admin")
        if self._holds_rights(who, person.name, groups):
            raise NotAllowed(
                what, why="the account has rights that only admins may give", mend="ask an admin"
            )

    def check_may_fill(self, who: Principal, group: str) -> None:
        """Raise unless they may make accounts that are in a class from the start."""
        self.check_may_run(who, group)
        if not who.admin and self._holds_rights(who, "", frozenset({group})):
            raise NotAllowed(
                say("cannot add people to the class {name!r}", name=group[:60]),
                why="its members have rights that only admins may give",
                mend="ask an admin to add them",
            )

    def check_may_add(self, who: Principal) -> None:
        """Raise NotAllowed unless they may make accounts for anybody, in a class or in none."""
        if not (who.admin or who.scopes.allows("admin:users", Target())):
            raise NotAllowed("cannot make users", why="it needs the scope admin:users")

    def gives_power(self, group: str) -> bool:
        """Whether being in a class gives more than its teachers may give by themselves."""
        return self._holds_rights(root(), "", frozenset({group}))

    def holds_rights(self, name: str, groups: frozenset[str]) -> bool:
        """Whether roles of the configuration give somebody more than everybody has."""
        return self._holds_rights(root(), name, groups)

    def _holds_rights(self, who: Principal, name: str, groups: frozenset[str]) -> bool:
        """Whether roles give more than everybody has, besides the services of who's own classes."""
        named = set(self._roles.of_user(name, admin=False)) - _NOT_ASKED
        texts = [text for role in named for text in self._roles[role].scopes]
        for group in groups:
            own = who.scopes.allows(CLASSROOM, Target(group=group))
            for role in self._roles.of_group(group):
                texts += [
                    text
                    for text in self._roles[role].scopes
                    if not (own and text.partition("!")[0] in _OF_SERVICES)
                ]
        return not _is_own(Scopes.expand(texts, Bearer(user=name), custom=self._roles.custom), name)


def _unknown(person: Person) -> NotFound:
    return NotFound(
        say("cannot find the user {name!r}", name=person.name[:60]),
        why="there is no such user, or not in your classes",
    )


def _is_own(scopes: Scopes, name: str) -> bool:
    """Whether scopes reach nothing but the bearer's own account and servers."""
    own = {("user", name)}
    return all(
        filters is not None
        and all(
            one in own or (one.kind == "server" and one.value.startswith(f"{name}/"))
            for one in filters
        )
        for filters in scopes.granted.values()
    )
