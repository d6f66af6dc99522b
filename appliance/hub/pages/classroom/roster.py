"""People of a class: who they are, adding one or a whole list, new passwords, taking people out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from appliance.access.principal import Principal
from appliance.errors import BadRequest
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.exports import file_name, people_file
from appliance.hub.classroom.roster_check import RowState
from appliance.hub.classroom.roster_desk import Draft, Job
from appliance.hub.classroom.roster_tables import Record, Table
from appliance.hub.pages.classroom.roster_base import ROSTER_BYTES, RosterPage
from appliance.hub.pages.shown_once import Card, Sheet
from appliance.hub.user_lists import Wanted
from appliance.hub.users import Page, Person, Skipped
from appliance.texts import Text, say, say_many
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

PAGE_SIZE: Final = 200
_AT_ONCE: Final = 2000


@dataclass(frozen=True, slots=True)
class Chosen:
    """A member of the class, and why nothing can be done for them, if so."""

    person: Person
    why: str = ""


class ClassRosterPage(RosterPage):
    """What the pages of one class's people share."""

    class_care: ClassCare

    def members(self, one: ClassView, *, search: str = "", number: int = 1) -> Page:
        return self.users.list_wanted(
            Wanted(group=one.name, find=search),
            offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE, sort="full_name",
        )  # fmt: skip

    def chosen(self, one: ClassView, *, to_manage: bool) -> list[Chosen]:
        """Those in the form who are in the class; with what keeps from looking after each."""
        names = set(self.get_body_arguments("user")[:_AT_ONCE])
        wanted = Wanted(group=one.name, only=frozenset(names))
        people = self.users.list_wanted(wanted, limit=_AT_ONCE, sort="full_name").items
        return [self._looked_at(self.asker, person) if to_manage else Chosen(person)
                for person in people]  # fmt: skip

    def _looked_at(self, who: Principal, person: Person) -> Chosen:
        refusal = self.rosters.why_not(who, person)
        return Chosen(person, refusal.why) if refusal else Chosen(person)

    def show_people(
        self, one: ClassView, *, error: FormError | None = None, status: int = 200
    ) -> None:
        """The list, with the forms for more people; an error stands in its form."""
        search = self.get_query_argument("search", "")[:100]
        text = self.get_query_argument("page", "1")
        number = int(text) if re.fullmatch(r"[1-9][0-9]{0,3}", text) else 1
        page = self.members(one, search=search, number=number)
        self.show_class(
            "roster.html", one, status=status,
            people=page.items, total=page.total, search=search, first=page.offset + 1,
            last=page.offset + len(page.items),
            previous_url=self._page_url(search, number - 1) if number > 1 else "",
            next_page_url=self._page_url(search, number + 1)
            if page.offset + len(page.items) < page.total else "",
            error=error, largest=ROSTER_BYTES, text=self._typed("text"),
            typed={name: self._typed(name) for name in ("full_name", "username", "email")},
            base=self.base_path(one),
        )  # fmt: skip

    def _typed(self, name: str) -> str:
        return self.get_body_argument(name, "")

    def _page_url(self, search: str, number: int) -> str:
        values = {"search": search, "page": str(number)}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"{self.request.path}?{query}"


class PeopleHandler(ClassRosterPage):
    """Who is in the class."""

    @login_needed
    async def get(self, group: str) -> None:
        self.show_people(self.open_class(group))

    @login_needed
    async def post(self, group: str) -> None:
        """Ask once more before passwords are made anew or people taken out."""
        one = self.open_class(group)
        verb = self.get_body_argument("do", "")
        if verb not in {"passwords", "take-out"}:
            raise BadRequest("cannot do this", why=say("there is no action {verb!r}", verb=verb))
        chosen = self.chosen(one, to_manage=verb == "passwords")
        if not chosen:
            self.leave_note("warn", "Choose people in the list first.")
            self.redirect(self.base_path(one))
            return
        self.show_class(
            "roster_passwords.html" if verb == "passwords" else "roster_take_out.html", one,
            chosen=[found.person for found in chosen if not found.why],
            refused=[found for found in chosen if found.why], base=self.base_path(one),
        )  # fmt: skip


class AddOneHandler(ClassRosterPage):
    """One more person, by hand: the same as a list with one row."""

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        fields = ("full_name", "username", "email")
        cells = tuple(self.get_body_argument(name, "") for name in fields)
        headings = Record(1, ("full name", "user name", "email"))
        aim = self.rosters.aim(self.asker, one.name)
        draft = Draft.of(Table((headings, Record(2, cells)), ","), aim)
        [_, row] = self.checked(draft)
        if row.state is RowState.WRONG or not any(cells):
            why = row.why or say("there is no name")
            error = FormError("one", why, row.mend, 400)
            self.show_people(one, error=error, status=400)
        elif row.state is RowState.HERE:
            self.leave_note("warn", say("{name} is in the class already.", name=row.name))
            self.redirect(self.base_path(one))
        else:
            key = self.desk.begin_making(self.user, [row], group=one.name)
            self.redirect(self.base_path(one, f"/jobs/{key}"))


class PasswordsHandler(ClassRosterPage):
    """Makes new passwords for those chosen, and cards of them."""

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        names = [found.person.name for found in self.chosen(one, to_manage=True) if not found.why]
        if not names:
            raise BadRequest("cannot make passwords", why="nobody is chosen whose account is yours")
        who = self.asker
        key = self.desk.begin_passwords(
            self.user, names, group=one.name,
            refusal=lambda person: self.rosters.why_not(who, person),
        )  # fmt: skip
        self.redirect(self.base_path(one, f"/jobs/{key}"))


class TakeOutHandler(ClassRosterPage):
    """Takes people out of the class; their accounts and files stay."""

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        chosen = [found.person.name for found in self.chosen(one, to_manage=False)]
        names = await self.class_care.take_out(self.asker, one.name, chosen)
        self.leave_note(
            "good",
            say("{name} is no longer in the class.", name=names[0])
            if len(names) == 1
            else say_many(
                "{count} person is no longer in the class.",
                "{count} people are no longer in the class.", len(names),
            ),
        )  # fmt: skip
        self.redirect(self.base_path(one))


class ExportHandler(ClassRosterPage):
    """The list as a file."""

    @login_needed
    async def get(self, group: str) -> None:
        one = self.open_class(group)
        data = people_file(self.rosters.people(self.asker, one.name), self.dialect())
        self.send_file(data, file_name(one.name))


class ExportAllHandler(RosterPage):
    """Everybody as a file, for admins."""

    @login_needed
    async def get(self) -> None:
        self.open_list("")
        data = people_file(self.rosters.people(self.asker, ""), self.dialect())
        self.send_file(data, "users.csv")


class JobHandler(RosterPage):
    """How far it is; when it is done, on to the cards."""

    @login_needed
    async def get(self, key: str, group: str = "") -> None:
        one = self.open_list(group) if not group else self.open_class(group)
        job = self.desk.jobs.get(key, self.user)
        if not job.is_finished:
            # Without scripts, too; and not in the page, where it couldn't be stopped.
            self.set_header("Refresh", "1" if job.total <= 10 else "3")
            self.show_list("roster_job.html", one, job=job)
            return
        if not job.shown_as:
            self.leave_note("bad" if job.stopped else "good", _told(job))
        self.redirect(self._goal(job, one))

    def _goal(self, job: Job, one: ClassView | None) -> str:
        """The cards if there are any, else where they come from."""
        back = self.base_path(one, f"/lists/{job.draft}") if job.draft else self.base_path(one)
        if not job.shown_as and not job.made:
            job.shown_as = back
        elif not job.shown_as:
            sheet = Sheet(
                tuple(Card(new.name, new.password, new.full_name) for new in job.made),
                tuple(Skipped(left.name, left.why) for left in job.not_done),
                back=back.removeprefix(self.web.hub_url),
            )
            job.shown_as = self.hub_path(f"cards/{self.shown_once.put(self.user, sheet)}")
            job.made.clear()
        return job.shown_as


def _told(job: Job) -> Text:
    """What was done, in a sentence."""
    made = say_many(
        "{count} new password is made.", "{count} new passwords are made.", len(job.made)
    )
    if job.stopped:
        return say("It had to stop: {why}. {made}", why=job.stopped, made=made)
    if job.joined:
        return say(
            "{made} {joined}", made=made,
            joined=say_many(
                "{count} person who has an account joined the class.",
                "{count} people who have accounts joined the class.", len(job.joined),
            ),
        )  # fmt: skip
    return made


_HERE: Final = r"/classes/(?P<group>[^/]+)/roster"
_KEY: Final = r"(?P<key>[A-Za-z0-9_-]+)"

handlers = [
    Pattern(_HERE, PeopleHandler),
    Pattern(rf"{_HERE}/add", AddOneHandler),
    Pattern(rf"{_HERE}/passwords", PasswordsHandler),
    Pattern(rf"{_HERE}/take-out", TakeOutHandler),
    Pattern(rf"{_HERE}/export", ExportHandler),
    Pattern(rf"{_HERE}/jobs/{_KEY}", JobHandler),
    Pattern(rf"/admin/add/jobs/{_KEY}", JobHandler),
    Pattern(r"/admin/export", ExportAllHandler),
]
