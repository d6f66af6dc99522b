"""The settings of a class: title, rules, teachers, and the end of its term."""

from __future__ import annotations

from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.class_care import ClassCare, check_admin
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.leaving import Leaving
from appliance.hub.classroom.terms import Terms
from appliance.hub.pages.classroom.base import ClassPage
from appliance.hub.pages.classroom.list import sheet_path
from appliance.hub.pages.shown_once import ShownOnce
from appliance.hub.users import Users
from appliance.texts import say
from appliance.web.forms import FormError, told
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

_ENDS = ("archive", "anew", "delete")


class SettingsPage(ClassPage):
    """What the page and its forms share."""

    tab = "settings"
    class_care: ClassCare
    terms: Terms
    leaving: Leaving
    users: Users
    shown_once: ShownOnce

    def show(self, one: ClassView, *, error: FormError | None = None, **typed: str) -> None:
        """The page; after a mistake with what was typed."""
        archive = self.terms.under_way(one.name)
        self.show_class(
            "class_settings.html",
            one,
            status=error.status if error else 200,
            teachers=[self.users.get(name) for name in one.teachers],
            archive=archive,
            packed=self.terms.progress(archive) if archive else 0,
            failure=None if archive else self.terms.last_failure(one.name),
            error=error,
            typed={"title": one.title, "teacher": "", "full_name": "", **typed},
        )


class SettingsHandler(SettingsPage):
    """The page, and what its buttons do."""

    @login_needed
    async def get(self, group: str) -> None:
        self.show(self.open_class(group))

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        verb, _, user = self.get_body_argument("do", "").partition(" ")
        try:
            goal = await self._do(verb, user, one)
        except ApplianceError as error:
            field = {"save": "title", "add-teacher": "teacher"}.get(verb, "")
            self.show(
                one,
                error=FormError.of(error, field=field),
                teacher=self.get_body_argument("teacher", "")[:100],
                full_name=self.get_body_argument("full_name", "")[:300],
                title=self.get_body_argument("title", one.title)[:300],
            )
        else:
            self.redirect(goal)

    async def _do(self, verb: str, user: str, one: ClassView) -> str:
        """Do it; returns where to go on."""
        if verb == "save":
            await self.class_care.change(
                self.asker,
                one.name,
                title=self.get_body_argument("title", ""),
                must_approve=self.get_body_argument("must_approve", "") == "1",
                frozen=self.get_body_argument("frozen", "") == "1",
            )
            self.leave_note("good", "The settings are saved.")
        elif verb == "add-teacher":
            made = await self.class_care.add_teacher(
                self.asker,
                one.name,
                self.get_body_argument("teacher", ""),
                full_name=self.get_body_argument("full_name", ""),
            )
            sheet = sheet_path(self.shown_once, self.user, made) if made else ""
            if sheet:
                return self.hub_path(sheet)
            self.leave_note("good", say("“{title}” has a new teacher.", title=one.title))
        elif verb == "remove-teacher":
            await self.class_care.remove_teacher(self.asker, one.name, user)
            self.leave_note(
                "good", say("{name} no longer teaches “{title}”.", name=user, title=one.title)
            )
        else:
            raise BadRequest(
                "cannot do this", why=say("there is no action {name!r}", name=verb[:20])
            )
        return self.class_path(one.name, "/settings")


class EndHandler(SettingsPage):
    """Says exactly what the end of the term does, and does it."""

    @login_needed
    async def get(self, group: str) -> None:
        one = self.open_class(group)
        how = self._how(self.get_query_argument("how", "archive"))
        members = self.leaving.members(one.name)
        students = [member for member in members if not member.teacher]
        self.show_class(
            "class_end.html",
            one,
            how=how,
            students=students,
            leaving=[member.name for member in students if member.leaves],
            staying=[member.name for member in students if not member.leaves],
        )

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        how = self._how(self.get_body_argument("do", ""))
        try:
            if how == "delete":
                await self.class_care.remove(self.asker, one.name)
                self.leave_note("good", say("The class “{title}” is deleted.", title=one.title))
            else:
                self.class_care.archive(self.asker, one.name, anew=how == "anew")
        except ApplianceError as error:
            self.leave_note("bad", told(error))
            self.redirect(self.class_path(one.name, "/settings"))
        else:
            self.redirect(self.hub_path("classes"))

    def _how(self, how: str) -> str:
        if how not in _ENDS:
            raise BadRequest(
                "cannot do this", why=say("there is no action {name!r}", name=how[:20])
            )
        if how == "delete":
            check_admin(self.asker, "cannot delete classes")
        return how


_CLASS = r"/classes/(?P<group>[^/]+)"

handlers = [
    Pattern(rf"{_CLASS}/settings", SettingsHandler),
    Pattern(rf"{_CLASS}/end", EndHandler),
]
