"""Keeps the folder of each class open to those who are in it, and knows what it is called."""

from __future__ import annotations

from sqlalchemy import select

from appliance.db.models import Group, Membership, User, UserState
from appliance.db.session import Database
from appliance.hub.classroom.classes import Classes
from appliance.interfaces import ClassFiles, ClassFolder
from appliance.names import Username


class ClassFolders:
    """Folders of classes, made and brought in line as `People` says that somebody came or went."""

    def __init__(self, *, db: Database, files: ClassFiles, classes: Classes) -> None:
        self._db = db
        self._files = files
        self._classes = classes
        self._known: dict[str, ClassFolder] = {}

    async def settle(self, group: str) -> None:
        """Let those and nobody else in who are in the class now; who waits isn't yet."""
        one = self._classes.get(group)
        query = (
            select(User.name)
            .join(Membership, Membership.user_id == User.id)
            .join(Group, Group.id == Membership.group_id)
            .where(Group.name == group, User.state != UserState.WAITING)
            .order_by(User.name)
        )
        with self._db.reading() as connection:
            members = [Username(name) for name in connection.scalars(query)]
        self._known[group] = await self._files.set_class(
            group, members=members, teachers=one.teachers, nbgrader=one.has_nbgrader
        )

    async def folder(self, group: str) -> ClassFolder:
        """The class's folder, made now if it isn't there yet."""
        if group not in self._known:
            await self.settle(group)
        return self._known[group]
