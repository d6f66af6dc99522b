"""Archives of classes, for admins: their lists, making a class again, deleting them."""

from __future__ import annotations

from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.archives import ArchiveView, list_of_people
from appliance.hub.pages.classroom.list import ClassesPage, sheet_path
from appliance.spreadsheets import Dialect, write
from appliance.texts import say
from appliance.web.forms import FormError, told
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern


class ListHandler(ClassesPage):
    """All archives."""

    @login_needed
    async def get(self) -> None:
        self.check_admin()
        archives = self.archives.list_all()
        self.render_page(
            "archives.html",
            archives=archives,
            packed={one.id: self.terms.progress(one) for one in archives if one.moving},
        )


class ArchiveHandler(ClassesPage):
    """One archive."""

    @login_needed
    async def get(self, number: str) -> None:
        self.check_admin()
        self._show(self.archives.get(int(number)))

    @login_needed
    async def post(self, number: str) -> None:
        self.check_admin()
        one = self.archives.get(int(number))
        verb = self.get_body_argument("do", "")
        try:
            if verb == "restore":
                made = await self.archives.restore(one.id, self.get_body_argument("name", ""))
                self.leave_note("good", say("The class “{title}” is there again.", title=one.title))
                sheet = sheet_path(self.shown_once, self.user, made)
                if made.skipped and not sheet:
                    left = ", ".join(one.name for one in made.skipped)
                    self.leave_note("warn", say("Not in it: {names}", names=left[:500]))
                self.redirect(self.hub_path(sheet or "classes"))
            elif verb == "delete":
                await self.archives.remove(one.id)
                self.leave_note(
                    "good", say("The archive of “{title}” is deleted.", title=one.title)
                )
                self.redirect(self.hub_path("archives"))
            else:
                raise BadRequest(
                    "cannot do this", why=say("there is no action {name!r}", name=verb[:20])
                )
        except ApplianceError as error:
            if verb == "delete":
                self.leave_note("bad", told(error))
                self.redirect(self.hub_path(f"archives/{one.id}"))
            else:
                self._show(one, error=FormError.of(error, field="name"))

    def _show(self, one: ArchiveView, *, error: FormError | None = None) -> None:
        self.render_page(
            "archive.html", status=error.status if error else 200, archive=one, error=error,
            known={m.name for m in one.members if m.is_account_of(self.users.find(m.name))},
            sure=self.get_query_argument("sure", "") == "1",
        )  # fmt: skip


class PeopleHandler(ClassesPage):
    """The list of who was in the class, as a spreadsheet."""

    @login_needed
    async def get(self, number: str) -> None:
        self.check_admin()
        one = self.archives.get(int(number))
        self.set_header("Content-Type", "text/csv; charset=UTF-8")
        self.set_header("Content-Disposition", f'attachment; filename="{one.archive}.csv"')
        self.finish(write(list_of_people(one.members), Dialect.EXCEL))


_ARCHIVE = r"/archives/(?P<number>[0-9]{1,9})"

handlers = [
    Pattern(r"/archives", ListHandler),
    Pattern(_ARCHIVE, ArchiveHandler),
    Pattern(rf"{_ARCHIVE}/people\.csv", PeopleHandler),
]
