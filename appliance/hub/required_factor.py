"""Whose roles demand a second factor besides the password (`passwords.second_factor_roles`)."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from appliance.access.roles import Roles
from appliance.db.models import User
from appliance.db.session import Database
from appliance.hub.groups import Grants, read_grants
from appliance.names import CHECK_USERS, Username


class RequiredFactor:
    """Compares the roles that people have with those that demand one."""

    def __init__(self, *, db: Database, roles: Roles, wanted: Collection[str]) -> None:
        self._db = db
        self._roles = roles
        self._wanted = frozenset(wanted)

    def applies(self, user: str, *, admin: bool, grants: Grants) -> bool:
        """Whether any of the user's roles demands one; a program that logs in has none to give."""
        if not self._wanted or user in CHECK_USERS:
            return False
        held = set(self._roles.of_user(user, admin=admin, teaches=bool(grants.teaches)))
        for group in grants.groups:
            held |= set(self._roles.of_group(group))
        return not self._wanted.isdisjoint(held)

    def of(self, user: Username) -> bool:
        """The same for somebody of whom the name is all that is known."""
        if not self._wanted:
            return False
        with self._db.session() as session:
            row = session.scalar(select(User).where(User.name == user))
            if row is None:
                return False
            return self.applies(user, admin=row.admin, grants=read_grants(session, row.id))
