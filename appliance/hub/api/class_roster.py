"""Rosters: what would become of a list of people, making their accounts, and the list as a file."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import replace
from typing import Any, ClassVar, Final

from pydantic import Field

from appliance.errors import BadRequest
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.classroom.exports import file_name, people_file
from appliance.hub.classroom.roster_check import Row, RowState, counted
from appliance.hub.classroom.roster_columns import Meaning
from appliance.hub.classroom.roster_desk import Draft, Job
from appliance.hub.classroom.roster_tables import Record, Table, read_table
from appliance.hub.classroom.rosters import Rosters
from appliance.spreadsheets import Dialect
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

# Hashing the passwords of so many takes half a minute.
PEOPLE_AT_ONCE: Final = 500
_FIELDS: Final = (
    (Meaning.NAME, "full_name"), (Meaning.USERNAME, "name"), (Meaning.EMAIL, "email"),
    (Meaning.CLASS, "class_name"), (Meaning.LANGUAGE, "language"),
)  # fmt: skip


class ListToRead(Body):
    """A list as it was written: as text, or the bytes of a file in base64."""

    text: str = ""
    data: str = ""
    columns: list[Meaning] | None = Field(default=None, max_length=50, strict=False)
    """What the columns mean, where it isn't what the headings say."""
    headings: bool = True
    """False says that the first line is a person."""
    only_classes: list[str] | None = None


class NewPerson(Body):
    """Somebody to add; a name is made where there is none."""

    name: str = ""
    full_name: str = ""
    email: str = ""
    language: str = ""
    class_name: str = ""


class NewPeople(Body):
    """Those to add."""

    people: list[NewPerson] = Field(min_length=1, max_length=PEOPLE_AT_ONCE)


class Reset(Body):
    """Those who are to get new passwords."""

    users: list[str] = Field(min_length=1, max_length=PEOPLE_AT_ONCE)


class RosterResource(HubApiHandler):
    """What the resources share; without a group in the path they are about everybody."""

    largest_body: ClassVar[int] = 2 * 1024 * 1024
    rosters: Rosters

    async def preview(self, group: str) -> None:
        body = self.parse_body(ListToRead)
        aim = self.rosters.aim(self.identified(), group)
        if bool(body.text) == bool(body.data):
            raise BadRequest("cannot read the list", why="the request needs either text or data")
        table = await asyncio.to_thread(read_table, body.text or _bytes(body.data))
        draft = Draft.of(table, aim)
        if body.columns is not None:
            draft.layout = draft.layout.with_meanings(body.columns)
        if not body.headings:
            draft.layout = replace(draft.layout, heading=-1)
        if body.only_classes is not None and group:
            draft.aim = replace(draft.aim, only=frozenset(body.only_classes))
        rows = self.rosters.rows(self.identified(), draft)
        self.reply(
            {
                "columns": [str(one) for one in draft.layout.meanings],
                "counts": {str(state): count for state, count in counted(rows).items()},
                "rows": [_row(row) for row in rows],
            }
        )

    async def make(self, group: str) -> None:
        body = self.parse_body(NewPeople)
        aim = self.rosters.aim(self.identified(), group)
        headings = Record(0, tuple(str(meaning) for meaning, _ in _FIELDS))
        records = [
            Record(number, tuple(getattr(person, field) for _, field in _FIELDS))
            for number, person in enumerate(body.people, 1)
        ]
        draft = Draft.of(Table((headings, *records), ","), aim)
        draft.layout = replace(draft.layout, meanings=tuple(one for one, _ in _FIELDS), heading=0)
        rows, job = await self.rosters.make(self.identified(), draft)
        here = [row.name for row in rows if row.state is RowState.HERE]
        wrong = [_row(row) for row in rows if row.state in {RowState.WRONG, RowState.LEFT_OUT}]
        self.reply(
            {**_made(job), "joined": job.joined, "here": here, "wrong": wrong[1:]}, status=201
        )

    def export(self, group: str) -> None:
        people = self.rosters.people(self.identified(), group)
        wanted = self.get_query_argument("for", Dialect.PLAIN)
        if wanted not in list(Dialect):
            raise BadRequest("cannot write the list", why=f"there is no kind {wanted[:40]!r}")
        name = file_name(group) if group else "users.csv"
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.set_header("Cache-Control", "no-store")
        self.finish(people_file(people, Dialect(wanted)))


class ClassRosterHandler(RosterResource):
    """The people of a class."""

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.export(group)

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        await self.make(group)


class ClassPreviewHandler(RosterResource):
    """What would become of a list in a class."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        await self.preview(group)


class ClassPasswordsHandler(RosterResource):
    """New passwords for people of a class, which end their sessions."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        names = self.parse_body(Reset).users
        self.reply(_made(await self.rosters.new_passwords(self.identified(), group, names)))


class RosterHandler(RosterResource):
    """Everybody, with their classes."""

    @needs_scope("admin:users")
    async def get(self) -> None:
        self.export("")

    @needs_scope("admin:users")
    async def post(self) -> None:
        await self.make("")


class PreviewHandler(RosterResource):
    """What would become of a list whose rows name their classes."""

    @needs_scope("admin:users")
    async def post(self) -> None:
        await self.preview("")


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as err:
        raise BadRequest("cannot read the list", why="the data is no base64") from err


def _row(row: Row) -> dict[str, Any]:
    return {
        "line": row.line, "state": str(row.state), "name": row.name, "typed": row.typed,
        "full_name": row.full_name, "email": row.email, "language": row.language,
        "class_name": row.group, "new_class": row.group_is_new, "why": row.why, "mend": row.mend,
        "note": row.note,
    }  # fmt: skip


def _made(job: Job) -> dict[str, Any]:
    return {
        "created": [
            {"name": new.name, "full_name": new.full_name, "password": new.password}
            for new in job.made
        ],
        "skipped": [{"name": one.name, "why": one.why} for one in job.not_done],
    }


_CLASS: Final = r"/api/appliance/classes/(?P<group>[^/]+)/roster"

handlers = [
    Pattern(_CLASS, ClassRosterHandler),
    Pattern(rf"{_CLASS}/preview", ClassPreviewHandler),
    Pattern(rf"{_CLASS}/passwords", ClassPasswordsHandler),
    Pattern(r"/api/appliance/roster", RosterHandler),
    Pattern(r"/api/appliance/roster/preview", PreviewHandler),
]
