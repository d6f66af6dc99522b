"""The class page: every student's seat, live, and what is done with servers and said to people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

from appliance.errors import ApplianceError, BadRequest, Conflict, NotAllowed
from appliance.hub.api.messages import check_members, send_as
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.class_servers import ClassServers, Verb
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.live import Counts, LiveClasses, Student
from appliance.hub.classroom.messages import LONGEST, Messages
from appliance.hub.classroom.visits import Visits
from appliance.hub.disk_use import DiskUse
from appliance.hub.pages.classroom.class_times import VERBS, ClassTimes
from appliance.hub.states import ServerState
from appliance.names import ServerId, parse_username
from appliance.texts import say, say_many
from appliance.web.forms import FormError, told
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

_FAILURES_TOLD: Final = 3
_NAMES_AT_ONCE: Final = 2000

SHOWN: Final[dict[str, Callable[[Student], bool]]] = {
    "all": lambda _one: True,
    "here": lambda one: one.here,
    "running": lambda one: one.is_active,
    "near": lambda one: bool(one.near),
    "away": lambda one: not one.here,
}
# First what wants to be looked at: full servers, busy ones, those on their way.
_STATES: Final = (
    ServerState.FAILED, ServerState.STARTING, ServerState.READY, ServerState.STOPPING,
    ServerState.STOPPED,
)  # fmt: skip
SORTS: Final[dict[str, Callable[[Student], Any]]] = {
    "name": lambda one: one.name,
    "full-name": lambda one: (one.called.lower(), one.name),
    "state": lambda one: (_STATES.index(one.state), one.name),
    "memory": lambda one: (-(one.memory_mb or 0), one.name),
    "cpu": lambda one: (-(one.cores or 0.0), one.name),
    "disk": lambda one: (-(one.disk_mb or 0), one.name),
}
VIEWS: Final = ("table", "seats")


class LivePage(ClassTimes):
    """What the page and its forms share."""

    tab = "live"
    live: LiveClasses
    messages: Messages
    visits: Visits
    class_care: ClassCare
    class_servers: ClassServers
    disk_use: DiskUse

    def choice(self, name: str, known: Any) -> str:
        """A choice in the address; what isn't known is the first."""
        value = self.get_query_argument(name, "")
        return value if value in known else next(iter(known))

    def query(self, **changes: str) -> str:
        """The choices of this page as a query, with some changed."""
        chosen = {
            "show": self.choice("show", SHOWN),
            "sort": self.choice("sort", SORTS),
            "view": self.choice("view", VIEWS),
            **changes,
        }
        first = {"show": "all", "sort": "name", "view": "table"}
        told = {name: value for name, value in chosen.items() if value != first[name]}
        return f"?{urlencode(told)}" if told else ""

    async def show(
        self, one: ClassView, *, text: str = "", chosen: tuple[str, ...] = (),
        error: FormError | None = None,
    ) -> None:  # fmt: skip
        """The page; after a mistake in its form with what was written."""
        students = await self.live.students(one.name)
        show, sort = self.choice("show", SHOWN), self.choice("sort", SORTS)
        visits = {
            visit.owner: visit
            for visit in self.visits.of_visitor(self.user)
            if not visit.server.name
        }
        self.show_class(
            "class_live.html",
            one,
            status=error.status if error else 200,
            students=sorted(students, key=SORTS[sort]),
            is_shown=SHOWN[show],
            is_empty=not any(SHOWN[show](student) for student in students),
            counts=Counts.of(students),
            has_disk=any(student.disk_mb is not None for student in students),
            folder=self.disk_use.of_class(one.name),
            visits=visits,
            sent=self.messages.sent_to_class(one.name),
            show=show,
            sort=sort,
            view=self.choice("view", VIEWS),
            query=self.query,
            longest=LONGEST,
            class_kept=self.keeps.of_class(one.name),
            exam=self.exams.of_class(one.name),
            exams_are_possible=self.exams.are_possible,
            text=text,
            chosen=chosen,
            error=error,
        )


class LiveHandler(LivePage):
    """The page."""

    @login_needed
    async def get(self, group: str) -> None:
        await self.show(self.open_class(group))


class DoHandler(LivePage):
    """Does what a button says, with the students chosen or with one."""

    @login_needed
    async def get(self, group: str) -> None:
        # After a mistake the page stands at this address.
        self.redirect(f"{self.class_path(self.open_class(group).name)}{self.query()}")

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        verb, _, name = self.get_body_argument("do", "").partition(" ")
        chosen = [name] if name else self.get_body_arguments("user")[:_NAMES_AT_ONCE]
        if verb == "stop-all" and self.get_body_argument("sure", "") != "1":
            counts = Counts.of(await self.live.students(one.name))
            self.show_class("class_stop.html", one, counts=counts)
            return
        try:
            check_members(self.classes, one.name, chosen)
            note = await self._do(verb, one, chosen)
        except NotAllowed:
            raise
        except ApplianceError as wrong:
            if verb == "message":
                text = self.get_body_argument("text", "", strip=False)[: 2 * LONGEST]
                error = FormError.of(wrong, field="text")
                await self.show(one, text=text, chosen=tuple(chosen), error=error)
                return
            self.leave_note("bad", told(wrong))
        else:
            self.leave_note("good", note)
        self.redirect(f"{self.class_path(one.name)}{self.query()}")

    async def _do(self, verb: str, one: ClassView, chosen: list[str]) -> str:
        """Do it; the answer is what to tell."""
        if verb in {"start-all", "stop-all"}:
            return await self._servers("start" if verb == "start-all" else "stop", one, None)
        if verb in {"freeze", "unfreeze"}:
            await self.class_care.change(self.asker, one.name, frozen=verb == "freeze")
            if verb == "freeze":
                return "Nobody can join the class by a code now."
            return "People can join the class by a code again."
        if verb == "message":
            return self._send(one, chosen)
        if verb in VERBS:
            return self.set_times(verb, one)
        if verb not in {"start", "stop", "ask", "end"}:
            raise BadRequest("cannot do this", why=say("there is no action {verb!r}", verb=verb))
        if not chosen:
            raise BadRequest("cannot do this", why="nobody is chosen", mend="choose students first")
        if verb == "start":
            return await self._servers("start", one, chosen)
        if verb == "stop":
            return await self._servers("stop", one, chosen)
        return self._ask(chosen) if verb == "ask" else self._end(chosen)

    async def _servers(self, verb: Verb, one: ClassView, chosen: list[str] | None) -> str:
        done = await self.class_servers.do(verb, one.name, chosen)
        if done.failed:
            whys = "; ".join(f"{name}: {why}" for name, why in done.failed[:_FAILURES_TOLD])
            raise Conflict("cannot do this for all of them", why=whys)
        count = len(done.names)
        if not count:
            return "There was nothing to do."
        if verb == "start":
            return say_many("{count} server is starting.", "{count} servers are starting.", count)
        return say_many("{count} server is stopping.", "{count} servers are stopping.", count)

    def _send(self, one: ClassView, chosen: list[str]) -> str:
        to_chosen = self.get_body_argument("to", "class") == "chosen"
        if to_chosen and not chosen:
            raise BadRequest(
                "cannot send the message", why="nobody is chosen", mend="choose students first"
            )
        text = self.get_body_argument("text", "", strip=False)
        users = chosen if to_chosen else []
        if self.principal:
            send_as(self.messages, self.principal, text, group=one.name, users=users)
        if to_chosen:
            return say_many(
                "The message is sent to {count} student.",
                "The message is sent to {count} students.",
                len(users),
            )
        return "The message is sent to the class."

    def _ask(self, chosen: list[str]) -> str:
        for name in chosen:
            self.visits.ask(self.user, ServerId(parse_username(name)))
        return say_many(
            "{count} student is asked to let you in.",
            "{count} students are asked to let you in.",
            len(chosen),
        )

    def _end(self, chosen: list[str]) -> str:
        for one in self.visits.of_visitor(self.user):
            if one.owner in chosen:
                self.visits.end(self.user, one.id)
        return "The visit has ended."


handlers = [
    Pattern(r"/classes/(?P<group>[^/]+)", LiveHandler),
    Pattern(r"/classes/(?P<group>[^/]+)/do", DoHandler),
]
