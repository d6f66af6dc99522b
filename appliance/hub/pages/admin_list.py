"""The list of all users: search, filters, sorting, parts, and what is done for many at once.

All of it is the address: a list that somebody looked for can be kept and sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, cast, get_args
from urllib.parse import urlencode

from appliance.access.scopes import Filters, Target
from appliance.db.models import UserState
from appliance.errors import ApplianceError
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.classes import Classes
from appliance.hub.groups import Groups
from appliance.hub.health import Health
from appliance.hub.pages.admin import AdminPage
from appliance.hub.user_lists import PageSort, RoleFilter, Wanted
from appliance.hub.users import Page
from appliance.texts import say_many
from appliance.web.forms import told
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

PAGE_SIZE: Final = 50
_SHOWS: Final = ("all", "waiting", "running", "locked")
_STATES: Final = {"waiting": UserState.WAITING, "locked": UserState.LOCKED}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a list is to show, as its address says."""

    show: str = "all"
    search: str = ""
    group: str = ""
    role: str = ""
    sort: PageSort = "name"
    page: int = 1

    def query(self, **changes: str | int) -> str:
        """The address's query, with some of it changed."""
        values = {
            "show": self.show if self.show != "all" else "",
            "search": self.search,
            "class": self.group,
            "role": self.role,
            "sort": self.sort if self.sort != "name" else "",
            "page": str(self.page) if self.page > 1 else "",
            **{name: str(value) for name, value in changes.items()},
        }
        found = urlencode({name: value for name, value in values.items() if value})
        return f"?{found}" if found else ""

    @property
    def narrowed(self) -> bool:
        return bool(self.search or self.group or self.role)

    def wanted(self, within: Filters) -> Wanted:
        return Wanted(
            within=within,
            find=self.search,
            state=_STATES.get(self.show),
            servers="active" if self.show == "running" else None,
            group=self.group,
            role=cast(RoleFilter, self.role) if self.role else None,
        )


class ListHandler(AdminPage):
    """Users and servers."""

    groups: Groups
    classes: Classes
    health: Health

    @login_needed
    async def get(self) -> None:
        self.check_admin()
        choice = self._choice()
        page = self._find(choice)
        rows = await self.rows(page.items)
        titles = self._titles()
        groups = self.groups.of_users([row.name for row in rows])
        self.render_page(
            "admin.html",
            rows=rows,
            has_disk=any(row.disk for row in rows),
            choice=choice,
            counts=self._counts(),
            classes=sorted(titles.items(), key=lambda one: one[1].lower()),
            classes_of={
                name: [(group, titles[group]) for group in sorted(found) if group in titles]
                for name, found in groups.items()
            },
            moving=any(one.pending for row in rows for one in (row.server, *row.named)),
            first=page.offset + 1,
            last=page.offset + len(page.items),
            total=page.total,
            pages=max(1, -(-page.total // PAGE_SIZE)),
            number=page.offset // PAGE_SIZE + 1,
            site=self.site,
            health=self._health(),
        )

    def _health(self) -> str:
        """How the appliance is, for who may read it."""
        may = self.asker.scopes.allows("read:hub", Target())
        return str(self.health.worst) if may else ""

    def _choice(self) -> Choice:
        def one_of(name: str, known: tuple[str, ...], usual: str) -> str:
            given = self.get_query_argument(name, usual)
            return given if given in known else usual

        number = self.get_query_argument("page", "1")
        return Choice(
            show=one_of("show", _SHOWS, "all"),
            search=self.get_query_argument("search", "")[:100],
            group=self.get_query_argument("class", "")[:255],
            role=one_of("role", get_args(RoleFilter), ""),
            sort=cast(PageSort, one_of("sort", get_args(PageSort), "name")),
            page=max(1, int(number)) if re.fullmatch(r"[0-9]{1,5}", number) else 1,
        )

    def _find(self, choice: Choice) -> Page:
        """The part asked for, or the last one if there are fewer by now."""
        page = self._part(choice, choice.page)
        if page.items or choice.page == 1:
            return page
        return self._part(choice, max(1, -(-page.total // PAGE_SIZE)))

    def _part(self, choice: Choice, number: int) -> Page:
        within = self.asker.scopes.filters("list:users")
        return self.users.list_wanted(
            choice.wanted(within), offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE,
            sort=choice.sort,
        )  # fmt: skip

    def _counts(self) -> dict[str, int]:
        if not self.asker.admin:
            return {show: self._part(Choice(show), 1).total for show in _SHOWS}
        counts = self.users.counts()
        return {
            "all": counts.total,
            "waiting": counts.waiting,
            "running": self._part(Choice("running"), 1).total,
            "locked": counts.locked,
        }

    def _titles(self) -> dict[str, str]:
        """The classes that the one who asks may know of."""
        titles = self.classes.titles()
        if self.asker.admin:
            return titles
        within = self.asker.scopes.filters("list:users")
        seen = {one.value for one in within or () if one.kind == "group"}
        return {name: title for name, title in titles.items() if within is None or name in seen}


class ActionsHandler(AdminPage):
    """What the list's buttons do: for one user ("approve ada"), or for all that are chosen."""

    class_care: ClassCare

    @login_needed
    async def post(self) -> None:
        self.check_admin()
        verb, _, one = self.get_body_argument("do", "").partition(" ")
        names = [one] if one else self.get_body_arguments("user")[:PAGE_SIZE]
        back = self.hub_path(f"admin?{self.request.query}" if self.request.query else "admin")
        if not names:
            self.leave_note("warn", "Choose users in the list first.")
            self.redirect(back)
        elif verb == "remove":
            self.redirect(self.hub_path(f"admin/remove?{urlencode([('user', n) for n in names])}"))
        elif verb == "passwords":
            self.show_sheet(
                await self.actions.new_passwords(names, by=self.user, may=self.check_may)
            )
        elif verb == "class":
            await self._put_in(names)
            self.redirect(back)
        else:
            self.tell(await self.actions.do(verb, names, by=self.user, may=self.check_may))
            self.redirect(back)

    async def _put_in(self, names: list[str]) -> None:
        group = self.get_body_argument("into", "")
        if not group:
            self.leave_note("warn", "Choose a class first.")
            return
        try:
            joined = await self.class_care.put_in(self.asker, group, names)
        except ApplianceError as error:
            self.leave_note("bad", told(error))
        else:
            note = say_many(
                "{count} user was put into the class.",
                "{count} users were put into the class.",
                len(joined),
            )
            self.leave_note("good", note)


handlers = [
    Pattern(r"/admin", ListHandler),
    Pattern(r"/admin/actions", ActionsHandler),
]
