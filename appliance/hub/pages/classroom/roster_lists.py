"""A list of people before anything is done: what each row would become, mended here or left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from appliance.errors import BadRequest
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.exports import wrong_file
from appliance.hub.classroom.roster_check import Row, RowState, counted
from appliance.hub.classroom.roster_columns import Meaning
from appliance.hub.classroom.roster_desk import Draft, in_order
from appliance.hub.classroom.roster_rows import Edit
from appliance.hub.classroom.roster_tables import tidy
from appliance.hub.pages.classroom.roster import ClassRosterPage
from appliance.hub.pages.classroom.roster_base import ROSTER_BYTES, RosterPage
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

ROWS_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the list, as the form shows it."""

    number: int
    heading: str
    sample: str
    meaning: Meaning


class NewListHandler(ClassRosterPage):
    """Takes a list, pasted or as a file, and leads on to look at it."""

    @login_needed
    async def get(self, group: str = "") -> None:
        one = self.open_list(group)
        if one is not None:
            self.redirect(self.base_path(one))
            return
        self._show_form()

    @login_needed
    async def post(self, group: str = "") -> None:
        one = self.open_list(group)
        try:
            draft = await self.read_draft(one.name if one else "")
            draft.entries()
        except BadRequest as error:
            wrong = FormError.of(error, field="text")
            if one is not None:
                self.show_people(one, error=wrong, status=wrong.status)
            else:
                self._show_form(wrong)
            return
        key = self.desk.drafts.put(self.user, draft)
        self.redirect(self.base_path(one, f"/lists/{key}"))

    def _show_form(self, error: FormError | None = None) -> None:
        self.show_list(
            "roster_new.html", None, status=error.status if error else 200, error=error,
            text=self.get_body_argument("text", ""), largest=ROSTER_BYTES,
        )  # fmt: skip


class ListHandler(RosterPage):
    """The list, and what it would do."""

    @login_needed
    async def get(self, key: str, group: str = "") -> None:
        one = self.open_list(group)
        self._show(key, self.find_draft(key, one), one)

    @login_needed
    async def post(self, key: str, group: str = "") -> None:
        one = self.open_list(group)
        draft = self.find_draft(key, one)
        verb, _, argument = self.get_body_argument("do", "look").partition(" ")
        before = {row.line: row for row in self.checked(draft)}
        self._take_rows(draft, before)
        self._take_columns(draft)
        if verb == "make":
            rows = self.checked(draft)
            counts = counted(rows)
            if counts[RowState.NEW] + counts[RowState.JOIN]:
                made = self.desk.begin_making(
                    self.user, rows, group=one.name if one else "",
                    draft=key if counts[RowState.WRONG] else "",
                )  # fmt: skip
                self.redirect(self.base_path(one, f"/jobs/{made}"))
                return
            self.leave_note("warn", "There is nobody in the list for whom anything can be made.")
        page = f"?page={argument}" if verb == "page" and argument.isdecimal() else ""
        self.redirect(self.base_path(one, f"/lists/{key}{page}"))

    def _take_rows(self, draft: Draft, before: dict[int, Row]) -> None:
        """What was typed into the rows that the form showed."""
        out = set(self.get_body_arguments("out"))
        for text in self.get_body_arguments("row"):
            row = before.get(int(text)) if re.fullmatch(r"[0-9]{1,7}", text) else None
            if row is None:
                continue
            draft.left_out.discard(row.line)
            if text in out:
                draft.left_out.add(row.line)
            typed = [
                tidy(self.get_body_argument(f"{name}-{row.line}", ""))
                for name in ("full_name", "username", "email")
            ]
            shown = [tidy(part) for part in (row.full_name, row.typed or row.name, row.email)]
            if typed == shown or not any(typed):
                continue
            if typed[1] == row.name and not row.typed:
                # A made name that nobody touched is made anew, if the person's name has changed.
                typed[1] = ""
            draft.edits[row.line] = Edit(*typed)

    def _take_columns(self, draft: Draft) -> None:
        """What the columns mean, and which classes are wanted."""
        known = draft.layout.meanings
        wanted = [
            self.get_body_argument(f"column-{number}", str(one)) for number, one in enumerate(known)
        ]
        if all(one in list(Meaning) for one in wanted):
            draft.layout = draft.layout.with_meanings([Meaning(one) for one in wanted])
        if self.get_body_argument("heading", "") == "none":
            draft.layout = replace(draft.layout, heading=-1)
        if self.get_body_argument("classes", "") and draft.aim.group:
            only = frozenset(self.get_body_arguments("class"))
            draft.aim = replace(draft.aim, only=only or None)

    def _show(self, key: str, draft: Draft, one: ClassView | None) -> None:
        rows = in_order(self.checked(draft))
        text = self.get_query_argument("page", "1")
        last = max(1, -(-len(rows) // ROWS_SHOWN))
        number = min(int(text), last) if re.fullmatch(r"[1-9][0-9]{0,3}", text) else 1
        classes = sorted({row.column for row in rows if row.column})
        self.show_list(
            "roster_list.html", one, key=key, counts=counted(rows),
            rows=rows[(number - 1) * ROWS_SHOWN : number * ROWS_SHOWN],
            left_out=draft.left_out, number=number, last=last,
            columns=_columns(draft), meanings=list(Meaning), heading=draft.layout.heading,
            found_classes=classes if one is not None and draft.layout.has(Meaning.CLASS) else [],
            only=draft.aim.only,
            new_classes=sorted({row.group for row in rows if row.group_is_new}),
            count=len(rows),
        )  # fmt: skip


class WrongHandler(RosterPage):
    """The rows that can't be used, as a file to mend in a spreadsheet."""

    @login_needed
    async def get(self, key: str, group: str = "") -> None:
        rows = self.checked(self.find_draft(key, self.open_list(group)))
        wrong = [row for row in rows if row.state is RowState.WRONG]
        self.send_file(wrong_file(wrong, self.dialect()), "to-mend.csv")


def _columns(draft: Draft) -> list[Column]:
    """The columns that have anything in them."""
    heading = draft.layout.heading
    records = draft.table.records
    headings = records[heading].cells if heading >= 0 else ()
    found = []
    for number, meaning in enumerate(draft.layout.meanings):
        cells = [one.cells[number] for one in records[heading + 1 :] if number < len(one.cells)]
        sample = next((tidy(cell) for cell in cells if tidy(cell)), "")
        name = tidy(headings[number]) if number < len(headings) else ""
        if sample or name:
            found.append(Column(number, name, sample[:40], meaning))
    return found


_HERE: Final = r"/classes/(?P<group>[^/]+)/roster"
_KEY: Final = r"(?P<key>[A-Za-z0-9_-]+)"

handlers = [
    pattern
    for base, new in ((_HERE, f"{_HERE}/lists"), ("/admin/add", "/admin/add"))
    for pattern in (
        Pattern(new, NewListHandler),
        Pattern(rf"{base}/lists/{_KEY}", ListHandler),
        Pattern(rf"{base}/lists/{_KEY}/to-mend", WrongHandler),
    )
]
