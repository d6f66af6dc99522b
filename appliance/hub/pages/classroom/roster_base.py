"""What the pages of rosters share: of a class for its teachers, and of everybody for admins."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import ClassVar, Final

from appliance.access.scopes import Target
from appliance.errors import BadRequest, NotAllowed, NotFound
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.roster_check import Row
from appliance.hub.classroom.roster_desk import Draft, RosterDesk
from appliance.hub.classroom.roster_tables import read_table
from appliance.hub.classroom.rosters import Rosters
from appliance.hub.pages.classroom.base import ClassPage
from appliance.hub.pages.shown_once import ShownOnce
from appliance.hub.users import Users
from appliance.spreadsheets import Dialect

ROSTER_BYTES: Final = 3 * 512 * 1024
"""Five thousand rows have a third of it. What is larger than 2 MB, the proxy doesn't pass on."""


class RosterPage(ClassPage):
    """A page about one class's people, or, where the path names none, about everybody."""

    tab = "roster"
    largest_body: ClassVar[int] = ROSTER_BYTES
    users: Users
    desk: RosterDesk
    rosters: Rosters
    shown_once: ShownOnce

    def open_list(self, group: str) -> ClassView | None:
        """The class, or None for everybody; raises unless who asks may add people there."""
        if group:
            one = self.open_class(group)
            self.rights.check_may_fill(self.asker, one.name)
            return one
        if not self.asker.scopes.allows("admin-ui", Target()):
            raise NotAllowed(
                "cannot open this page", why="it is for admins", mend="go back to your server"
            )
        self.rights.check_may_add(self.asker)
        return None

    def base_path(self, one: ClassView | None, below: str = "") -> str:
        """The address of the list of people, or of a page below it."""
        if one is None:
            return self.hub_path(f"admin{below and '/add'}{below}")
        return self.class_path(one.name, f"/roster{below}")

    def checked(self, draft: Draft) -> list[Row]:
        """What would become of the rows of a list now."""
        return self.rosters.rows(self.asker, draft)

    def find_draft(self, key: str, one: ClassView | None) -> Draft:
        """A list of this class and of whoever asks, with the rights that they have now."""
        draft = self.desk.drafts.get(key, self.user)
        group = one.name if one else ""
        if draft.aim.group != group:
            raise NotFound("cannot find the list", why="it is another class's")
        draft.aim = replace(self.rosters.aim(self.asker, group), only=draft.aim.only)
        return draft

    async def read_draft(self, group: str) -> Draft:
        """The list in the form, a file or pasted; raises BadRequest for what is none."""
        files = self.request.files.get("file", [])
        data = files[0]["body"] if files else b""
        text = self.get_body_argument("text", "", strip=False)
        if data and text.strip():
            raise BadRequest(
                "cannot read the list",
                why="there is a file, and there are names in the box",
                mend="send one of them",
            )
        table = await asyncio.to_thread(read_table, data or text)
        return Draft.of(table, self.rosters.aim(self.asker, group))

    def show_list(
        self, template: str, one: ClassView | None, *, status: int = 200, **values: object
    ) -> None:
        """Finish with a page that is in two frames: of the class, or of the admin pages."""
        values["base"] = self.base_path(one, "/").rstrip("/")
        if one is not None:
            self.show_class(template, one, status=status, layout="class_base.html", **values)
        else:
            self.render_page(
                template, status=status, layout="roster_frame.html", school_class=None, **values
            )

    def send_file(self, data: bytes, name: str) -> None:
        """Finish with a CSV file to be kept."""
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.finish(data)

    def dialect(self) -> Dialect:
        """How a file is to be written: as asked, else for Excel where it is in most use."""
        wanted = self.get_query_argument("for", "")
        return Dialect(wanted) if wanted in list(Dialect) else Dialect.EXCEL
