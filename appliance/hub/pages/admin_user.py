"""One user's page: server, account, classes, rights."""

from __future__ import annotations

from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.classes import Classes
from appliance.hub.groups import Groups
from appliance.hub.pages.admin import AdminPage
from appliance.hub.users import Person
from appliance.texts import say
from appliance.web.forms import told
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern


class UserHandler(AdminPage):
    """One user: server, account, rights."""

    classes: Classes
    groups: Groups
    class_care: ClassCare

    @login_needed
    async def get(self, name: str) -> None:
        self.check_admin()
        [row] = await self.rows([self.person(name)])
        key = self.get_query_argument("link", "")
        link = self.shown_once.find_link(key, self.user) if key else None
        titles = self.classes.titles()
        taught = set(self.classes.taught_by(row.name))
        groups = self.groups.of(row.name)
        self.render_page(
            "admin_user.html",
            row=row,
            link=link if link and link.user == row.name else None,
            origin=self.origin,
            teaches=[(group, title) for group, title in titles.items() if group in taught],
            in_classes=[(group, title) for group, title in titles.items() if group in groups],
            others=[(group, title) for group, title in titles.items() if group not in taught],
        )

    @login_needed
    async def post(self, name: str) -> None:
        self.check_admin()
        person = self.person(name)
        verb, _, group = self.get_body_argument("do", "").partition(" ")
        server = self.get_body_argument("server", "")
        if server:
            self.check_may(verb, person, server=server)
            self.tell(await self.actions.do_with_named(verb, self.named_server(person, server)))
            self.redirect(self.user_page(name))
        elif verb == "password":
            self.show_sheet(
                await self.actions.new_passwords([person.name], by=self.user, may=self.check_may)
            )
        elif verb == "link":
            self.check_may(verb, person)
            key = self.shown_once.put(self.user, self.actions.new_link(person.name, by=self.user))
            self.redirect(f"{self.user_page(name)}?link={key}")
        elif verb in {"teach", "unteach", "full-name"}:
            await self._change(verb, person, group)
            self.redirect(self.user_page(name))
        else:
            self.tell(await self.actions.do(verb, [person.name], by=self.user, may=self.check_may))
            self.redirect(self.user_page(name))

    async def _change(self, verb: str, person: Person, group: str) -> None:
        self.check_may(verb, person)
        try:
            if verb == "teach":
                group = self.get_body_argument("class", "")
                if not group:
                    raise BadRequest("cannot say who teaches", why="no class was chosen")
                await self.class_care.add_teacher(self.asker, group, person.name)
                note = say("{name} teaches “{title}” now.", name=person.name, title=group)
            elif verb == "unteach":
                await self.class_care.remove_teacher(self.asker, group, person.name)
                note = say("{name} no longer teaches “{title}”.", name=person.name, title=group)
            else:
                self.users.set_full_name(person.name, self.get_body_argument("full_name", ""))
                note = say("The full name of {name} is saved.", name=person.name)
        except ApplianceError as error:
            self.leave_note("bad", told(error))
        else:
            self.leave_note("good", note)


handlers = [
    Pattern(r"/admin/users/(?P<name>[^/]+)", UserHandler),
]
