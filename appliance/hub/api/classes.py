"""Classes: making and changing them, who teaches, who is in them, and their archives."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from appliance.clock import stamp
from appliance.errors import NotFound
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.users import UserHandlerBase
from appliance.hub.classroom.archives import Archives, ArchiveView
from appliance.hub.classroom.class_care import NAMES_AT_ONCE, ClassCare, check_admin
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.rights import CLASSROOM
from appliance.hub.classroom.terms import Terms
from appliance.hub.new_accounts import Created, Wish
from appliance.texts import say
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class NewClass(Body):
    """A class, and who is to teach it."""

    title: str = ""
    name: str = ""
    teacher: str = ""


class ClassChange(Body):
    """What can be changed of a class."""

    title: str | None = None
    must_approve: bool | None = None
    frozen: bool | None = None


class NewTeacher(Body):
    """What is known of a teacher who has no account yet."""

    full_name: str = ""


class NewMember(Body):
    """Somebody who is to be in a class."""

    name: str
    full_name: str = ""
    email: str = ""


class NewMembers(Body):
    """People who are to be in a class."""

    users: list[NewMember] = Field(min_length=1, max_length=NAMES_AT_ONCE)
    generate: bool = True


class TakenOut(Body):
    """Whom to take out of a class."""

    users: list[str] = Field(min_length=1, max_length=NAMES_AT_ONCE)


class Ending(Body):
    """How a term ends."""

    anew: bool = False


class Restoring(Body):
    """The name that a class is to have that is made again; empty for the one it had."""

    name: str = ""


class ClassHandlerBase(HubApiHandler):
    """What the handlers of classes share."""

    classes: Classes
    class_care: ClassCare
    terms: Terms

    def model(self, one: ClassView) -> dict[str, Any]:
        archive = self.terms.under_way(one.name)
        return {
            "name": one.name,
            "title": one.title,
            "created": stamp(one.created),
            "frozen": one.frozen,
            "must_approve": one.must_approve,
            "has_nbgrader": one.has_nbgrader,
            "teachers": list(one.teachers),
            "students": one.students,
            "waiting": one.waiting,
            "archiving": None
            if archive is None
            else {"done": self.terms.progress(archive), "of": len(archive.students)},
        }

    def reply_made(self, made: Created | None, *, status: int = 201) -> None:
        """Tell the generated passwords, this once."""
        created, skipped = (made.created, made.skipped) if made else ([], [])
        self.reply(
            {
                "created": [{"name": new.name, "password": new.password} for new in created],
                "skipped": [{"name": one.name, "why": one.why} for one in skipped],
            },
            status=status,
        )


class ClassListHandler(ClassHandlerBase):
    """The classes that the caller may run."""

    @needs_scope("classroom", rows=True)
    async def get(self) -> None:
        filters = self.row_filters(CLASSROOM, {"group", "user"})
        only = None if filters is None else [one.value for one in filters if one.kind == "group"]
        self.reply([self.model(one) for one in self.classes.list_all(only=only)])

    @needs_scope("admin:groups")
    async def post(self) -> None:
        body = self.parse_body(NewClass)
        one, made = await self.class_care.create(
            self.identified(), title=body.title, name=body.name, teacher=body.teacher
        )
        created = made.created if made else []
        self.reply(
            {
                "class": self.model(one),
                "created": [{"name": new.name, "password": new.password} for new in created],
            },
            status=201,
        )


class ClassHandler(ClassHandlerBase):
    """One class."""

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.reply(self.model(self.classes.get(group)))

    @needs_scope("classroom")
    async def patch(self, group: str) -> None:
        body = self.parse_body(ClassChange)
        one = await self.class_care.change(
            self.identified(), group,
            title=body.title, must_approve=body.must_approve, frozen=body.frozen,
        )  # fmt: skip
        self.reply(self.model(one))

    @needs_scope("delete:groups")
    async def delete(self, group: str) -> None:
        await self.class_care.remove(self.identified(), group)
        self.reply_nothing()


class TeacherHandler(ClassHandlerBase):
    """Who teaches a class."""

    @needs_scope("admin:groups")
    async def put(self, group: str, teacher: str) -> None:
        body = self.parse_body(NewTeacher)
        made = await self.class_care.add_teacher(
            self.identified(), group, teacher, full_name=body.full_name
        )
        self.reply_made(made, status=200)

    @needs_scope("admin:groups")
    async def delete(self, group: str, teacher: str) -> None:
        await self.class_care.remove_teacher(self.identified(), group, teacher)
        self.reply_nothing()


class MembersHandler(ClassHandlerBase):
    """Who is in a class."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        body = self.parse_body(NewMembers)
        made = await self.class_care.add(
            self.identified(),
            group,
            [Wish(one.name, one.full_name, one.email) for one in body.users],
            generate=body.generate,
        )
        self.reply_made(made)

    @needs_scope("classroom")
    async def delete(self, group: str) -> None:
        body = self.parse_body(TakenOut)
        taken = await self.class_care.take_out(self.identified(), group, body.users)
        self.reply({"taken_out": taken})


class EndHandler(ClassHandlerBase):
    """Puts a class into an archive; `archiving` of the class tells how it gets on."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        body = self.parse_body(Ending)
        archive = self.class_care.archive(self.identified(), group, anew=body.anew)
        self.reply({"archive": archive.id, "name": archive.archive}, status=202)


class LockHandler(UserHandlerBase):
    """Keeps a user out, or lets one in again."""

    class_care: ClassCare

    @needs_scope("admin:users", "classroom")
    async def put(self, user: str) -> None:
        self.reply(self.model(await self.class_care.lock(self.identified(), user)))

    @needs_scope("admin:users", "classroom")
    async def delete(self, user: str) -> None:
        self.reply(self.model(self.class_care.unlock(self.identified(), user)))


class ArchiveHandlerBase(ClassHandlerBase):
    """What the handlers of archives share."""

    archives: Archives

    def archive(self, number: str) -> ArchiveView:
        if not (number.isascii() and number.isdecimal() and len(number) <= 9):
            raise NotFound(say("cannot find the archive {number!r}", number=number[:20]))
        return self.archives.get(int(number))

    def archive_model(self, one: ArchiveView, *, whole: bool = False) -> dict[str, Any]:
        model: dict[str, Any] = {
            "id": one.id,
            "name": one.name,
            "title": one.title,
            "created": stamp(one.created),
            "created_by": one.created_by,
            "state": one.state,
            "place": one.place,
            "bytes": one.bytes,
            "students": len(one.students),
            "done": self.terms.progress(one) if one.moving else len(one.students),
            "failure": one.failure or None,
        }
        if whole:
            model["members"] = [member.kept() for member in one.members]
        return model


class ArchiveListHandler(ArchiveHandlerBase):
    """All archives, the newest first."""

    @needs_scope("admin:groups")
    async def get(self) -> None:
        self.reply([self.archive_model(one) for one in self.archives.list_all()])


class ArchiveHandler(ArchiveHandlerBase):
    """One archive, with the list of its people."""

    @needs_scope("admin:groups")
    async def get(self, number: str) -> None:
        self.reply(self.archive_model(self.archive(number), whole=True))

    @needs_scope("delete:groups")
    async def delete(self, number: str) -> None:
        await self.archives.remove(self.archive(number).id)
        self.reply_nothing()


class RestoreHandler(ArchiveHandlerBase):
    """Makes a class again, with the people of its archive."""

    @needs_scope("admin:users")
    async def post(self, number: str) -> None:
        body = self.parse_body(Restoring)
        check_admin(self.identified(), "cannot make classes")
        self.reply_made(await self.archives.restore(self.archive(number).id, body.name))


_CLASS = r"/api/appliance/classes/(?P<group>[^/]+)"
_ARCHIVE = r"/api/appliance/archives/(?P<number>[^/]+)"

handlers = [
    Pattern(r"/api/appliance/classes", ClassListHandler),
    Pattern(_CLASS, ClassHandler),
    Pattern(rf"{_CLASS}/teachers/(?P<teacher>[^/]+)", TeacherHandler),
    Pattern(rf"{_CLASS}/members", MembersHandler),
    Pattern(rf"{_CLASS}/archive", EndHandler),
    Pattern(r"/api/appliance/users/(?P<user>[^/]+)/lock", LockHandler),
    Pattern(r"/api/appliance/archives", ArchiveListHandler),
    Pattern(_ARCHIVE, ArchiveHandler),
    Pattern(rf"{_ARCHIVE}/restore", RestoreHandler),
]
