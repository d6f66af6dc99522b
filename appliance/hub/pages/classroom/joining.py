"""How people come into a class: its join codes, who waits to be let in, and the rules.

The same pages below /hub/admin/joining are for accounts in no class, and for admins alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote, urlencode

from appliance.errors import BadRequest, NotAllowed, NotFound
from appliance.hub.classroom.approvals import NAMES_AT_ONCE, Approvals, Decided
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.invites import Expiry, Invites
from appliance.hub.pages.classroom.base import ClassPage
from appliance.texts import Text, say, say_many
from appliance.web.forms import FormError, told
from appliance.web.guards import login_needed
from appliance.web.languages import localized
from appliance.web.parts import Pattern
from appliance.web.qr_codes import qr_svg

# More failures than these make a note nobody reads.
_FAILURES_TOLD: Final = 3


class JoiningPage(ClassPage):
    """What the pages share; a name is a class's, None stands for accounts in no class."""

    approvals: Approvals
    invites: Invites
    tab = "joining"

    def open(self, name: str | None) -> ClassView | None:
        """The class, if who asks may run it; None for admins without one."""
        if name is not None:
            return self.open_class(name)
        if not self.asker.admin:
            raise NotAllowed(
                "cannot open this page", why="it is for admins", mend="go back to your server"
            )
        return None

    def path_of(self, name: str | None, below: str = "") -> str:
        """The address of one of these pages."""
        if name is None:
            return self.hub_path(f"admin/joining{below}")
        return self.class_path(name, f"/joining{below}")

    @property
    def join_address(self) -> str:
        """Where people type a code, as they reach it."""
        return f"{self.request.protocol}://{self.request.host}{self.hub_path('join')}"

    def show(self, one: ClassView | None, error: FormError | None = None) -> None:
        """The page, after a mistake in its form with what was typed."""
        name = one.name if one else None
        values = {
            "joining_url": self.path_of(name),
            "invites": self.invites.list_of(name),
            "waiters": self.approvals.waiting(name)[:NAMES_AT_ONCE],
            "why_not_make": self._why_not_make(name),
            "join_address": self.join_address,
            "expiries": list(Expiry),
            "expires": self.get_body_argument("expires", Expiry.WEEK)[:20],
            "uses": self.get_body_argument("uses", "")[:20],
            "note": self.get_body_argument("note", "")[:300],
            "error": error,
        }
        status = error.status if error else 200
        if one is None:
            self.render_page("admin_joining.html", status=status, school_class=None, **values)
        else:
            self.show_class("class_joining.html", one, status=status, **values)

    def _why_not_make(self, name: str | None) -> str:
        """Why who asks may make no codes for a class; "" if they may."""
        try:
            self.check_may_make(name)
        except NotAllowed as error:
            return told(error)
        return ""

    def check_may_make(self, name: str | None) -> None:
        if name is not None:
            self.rights.check_may_fill(self.asker, name)


class JoiningHandler(JoiningPage):
    """The page."""

    @login_needed
    async def get(self, name: str | None = None) -> None:
        self.show(self.open(name))


class CodesHandler(JoiningPage):
    """Makes a code."""

    @login_needed
    async def get(self, name: str | None = None) -> None:
        # After a mistake the page stands at this address.
        self.redirect(self.path_of(name))

    @login_needed
    async def post(self, name: str | None = None) -> None:
        one = self.open(name)
        self.check_may_make(name)
        try:
            made = self.invites.make(
                name, by=self.user, expiry=self._expiry(), most_uses=self._uses(),
                note=self.get_body_argument("note", ""),
            )  # fmt: skip
        except BadRequest as error:
            self.show(one, FormError.of(error, field="code-form"))
        else:
            self.leave_note(
                "good", localized(say("The join code {code} works now.", code=made.code))
            )
            self.redirect(self.path_of(name))

    def _expiry(self) -> Expiry:
        text = self.get_body_argument("expires", Expiry.WEEK)
        if text not in set(Expiry):
            raise BadRequest("cannot make the join code", why="it must say when it ends")
        return Expiry(text)

    def _uses(self) -> int | None:
        text = self.get_body_argument("uses", "").strip()
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,6}", text):
            raise BadRequest(
                "cannot make the join code", why="the number of people must be a whole number"
            )
        return int(text)


class RevokeHandler(JoiningPage):
    """Takes a code back."""

    @login_needed
    async def post(self, number: str, name: str | None = None) -> None:
        self.open(name)
        self.invites.revoke(name, int(number))
        self.leave_note("good", "The join code is taken back.")
        self.redirect(self.path_of(name))


class ShowHandler(JoiningPage):
    """A code for everybody in the room, on the projector."""

    @login_needed
    async def get(self, number: str, name: str | None = None) -> None:
        one = self.open(name)
        invite = self.invites.get(name, int(number))
        if not invite.code:
            raise NotFound("cannot show the join code", why="it works no more")
        address = self.join_address
        self.render_page(
            "joining_show.html",
            school_class=one,
            invite=invite,
            joining_url=self.path_of(name),
            address=address.removeprefix("https://"),
            code_svg=qr_svg(f"{address}/{quote(invite.code, safe='')}"),
        )


class CountHandler(JoiningPage):
    """How many have used a code, for the page on the projector."""

    @login_needed
    async def get(self, number: str, name: str | None = None) -> None:
        one = self.open(name)
        invite = self.invites.get(name, int(number))
        frozen = one is not None and one.frozen
        self.reply({"uses": invite.uses, "works": invite.works and not frozen})


class RulesHandler(JoiningPage):
    """Stops and opens sign-ups, and says whether newcomers wait."""

    class_care: ClassCare

    @login_needed
    async def post(self, name: str) -> None:
        self.open(name)
        verb = self.get_body_argument("do", "")
        if verb not in _RULES:
            raise _no_action(verb)
        rule, note = _RULES[verb]
        await self.class_care.change(
            self.asker, name, must_approve=rule.must_approve, frozen=rule.frozen
        )
        self.leave_note("good", note)
        self.redirect(self.path_of(name))


class WaitingHandler(JoiningPage):
    """Lets in those who are chosen, or one ("approve ada"); turning away is asked once more."""

    @login_needed
    async def post(self, name: str | None = None) -> None:
        self.open(name)
        verb, _, one = self.get_body_argument("do", "").partition(" ")
        names = [one] if one else self.get_body_arguments("user")[:NAMES_AT_ONCE]
        if not names:
            self.leave_note("warn", "Choose people in the list first.")
            self.redirect(self.path_of(name))
        elif verb == "approve":
            decided = await self.approvals.approve(self.asker, names, group=name)
            self.tell(decided, approved=True)
            self.redirect(self.path_of(name))
        elif verb == "reject":
            query = urlencode([("user", user) for user in names])
            self.redirect(self.path_of(name, f"/reject?{query}"))
        else:
            raise _no_action(verb)

    def tell(self, decided: Decided, *, approved: bool) -> None:
        """Leave a note of what was done and what was not."""
        self.leave_note(*words(decided, approved=approved))


class RejectHandler(WaitingHandler):
    """Asks once more, then turns people away."""

    @login_needed
    async def get(self, name: str | None = None) -> None:
        one = self.open(name)
        chosen = set(self.get_query_arguments("user")[:NAMES_AT_ONCE])
        people = [w.person for w in self.approvals.waiting(name) if w.person.name in chosen]
        if not people:
            self.leave_note("warn", "None of them waits any more.")
            self.redirect(self.path_of(name))
            return
        self.render_page(
            "joining_reject.html", people=people, school_class=one, joining_url=self.path_of(name)
        )

    @login_needed
    async def post(self, name: str | None = None) -> None:
        self.open(name)
        names = self.get_body_arguments("user")[:NAMES_AT_ONCE]
        decided = await self.approvals.reject(self.asker, names, group=name)
        self.tell(decided, approved=False)
        self.redirect(self.path_of(name))


def words(decided: Decided, *, approved: bool) -> tuple[str, str]:
    """What became of a list of names as a note: its kind, and its sentences."""
    said: list[str] = []
    count = len(decided.done)
    if count:
        said.append(localized(_done(str(decided.done[0]), count, approved=approved)))
    said += [told(error) for error in decided.failed[:_FAILURES_TOLD]]
    more = len(decided.failed) - _FAILURES_TOLD
    if more > 0:
        said.append(localized(say_many("And {count} more.", "And {count} more.", more)))
    return ("warn" if decided.failed else "good"), " ".join(said)


def _done(first: str, count: int, *, approved: bool) -> Text:
    if count == 1 and approved:
        return say("{name} is approved.", name=first)
    if count == 1:
        return say("{name} is rejected, and the name is free.", name=first)
    if approved:
        return say_many("{count} person is approved.", "{count} people are approved.", count)
    return say_many("{count} person is rejected.", "{count} people are rejected.", count)


def _no_action(verb: str) -> BadRequest:
    return BadRequest("cannot do this", why=say("there is no action {verb!r}", verb=verb[:20]))


class _Rule(NamedTuple):
    frozen: bool | None = None
    must_approve: bool | None = None


_RULES: Final = {
    "freeze": (_Rule(frozen=True), "Nobody can join now, whatever code they have."),
    "unfreeze": (_Rule(frozen=False), "Join codes work again."),
    "wait": (_Rule(must_approve=True), "Newcomers wait from now on until you let them in."),
    "enter": (_Rule(must_approve=False), "Newcomers with a code are in at once from now on."),
}


def _patterns(prefix: str) -> list[Pattern]:
    number = r"(?P<number>[0-9]{1,15})"
    return [
        Pattern(rf"{prefix}/joining", JoiningHandler),
        Pattern(rf"{prefix}/joining/codes", CodesHandler),
        Pattern(rf"{prefix}/joining/codes/{number}/revoke", RevokeHandler),
        Pattern(rf"{prefix}/joining/codes/{number}/show", ShowHandler),
        Pattern(rf"{prefix}/joining/codes/{number}/count", CountHandler),
        Pattern(rf"{prefix}/joining/waiting", WaitingHandler),
        Pattern(rf"{prefix}/joining/reject", RejectHandler),
    ]


_CLASS: Final = r"/classes/(?P<name>[^/]+)"

handlers = [
    *_patterns(_CLASS),
    Pattern(rf"{_CLASS}/joining/rules", RulesHandler),
    *_patterns("/admin"),
]
