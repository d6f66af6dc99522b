"""What a user or the members of a class may use of the machine, and giving them other limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from appliance.access.scopes import Target
from appliance.config.kinds import parse_size
from appliance.errors import ApplianceError, BadRequest, Conflict
from appliance.hub.api.limits import check_teachers_may
from appliance.hub.limits.server_limits import Kind, ServerLimits, Subject
from appliance.hub.pages.admin import AdminPage
from appliance.hub.pages.classroom.base import ClassPage
from appliance.limits import ON_PAGES, Effective, Limit, Number, limit_text
from appliance.texts import Text, say, say_many
from appliance.web.formats import decimal, duration, in_bytes
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.languages import localized
from appliance.web.parts import Pattern

_LABELS: Final = {
    "memory": say("Memory"),
    "cpu": say("Processor"),
    "tasks": say("Processes and threads"),
    "run_time": say("Longest life of a server"),
    "swap": say("Swap space"),
    "cpu_weight": say("Share of the processor"),
    "io_weight": say("Share of the disk"),
    "memory_guarantee": say("Guaranteed memory"),
}
# What nearly nobody sets is shown only where it was.
_USUAL: Final[dict[str, Number]] = {
    "swap": 0, "cpu_weight": 100, "io_weight": 100, "memory_guarantee": 0,
}  # fmt: skip
_SIZES: Final = frozenset({"memory", "swap", "memory_guarantee"})


@dataclass(frozen=True, slots=True)
class Row:
    """A limit in words."""

    label: str
    value: str
    source: str


class LimitsPage(PageHandler):
    """What the two pages share."""

    limits: ServerLimits

    def limit_values(
        self, subject: Subject, *, error: FormError | None = None
    ) -> dict[str, object]:
        """What the template needs; after a mistake with what was typed."""
        given, caps = self.limits.given_to(subject), self.limits.book.caps
        typed = {name: _typed(name, given.get(name)) for name in ON_PAGES}
        if error:
            typed = {name: self.get_body_argument(name, "")[:40] for name in ON_PAGES}
        return {
            "rows": rows_of(self.limits.of_subject(subject), self.limits.book.class_size),
            "typed": typed,
            "most": {name: _in_words(name, caps[name]) for name in ON_PAGES},
            "error": error,
        }

    async def save(self, subject: Subject) -> None:
        """What the form asks for; raises ApplianceError, whose field is in `self.wrong`."""
        wish: dict[str, Number | None] = {}
        for name in ON_PAGES:
            self.wrong = name
            wish[name] = _parsed(name, self.get_body_argument(name, "").strip())
        self.wrong = "memory"
        await self.limits.give(
            subject, wish, by=self.user, force=self.get_body_argument("force", "") == "1"
        )
        self.leave_note("good", "The limits are saved, and servers that run have them.")

    wrong = ""


class UserLimitsHandler(AdminPage, LimitsPage):
    """One user's limits, for admins."""

    @login_needed
    async def get(self, name: str) -> None:
        self.check_admin()
        self._show(self.person(name).name)

    @login_needed
    async def post(self, name: str) -> None:
        self.check_admin()
        person = self.person(name)
        self.check_may("limits", person)
        self.rights.check_not_above(self.asker, person, self.web.groups_of(person.name))
        try:
            await self.save(Subject(Kind.USER, person.name))
        except ApplianceError as wrong:
            self._show(person.name, error=_form_error(wrong, self.wrong))
        else:
            self.redirect(self.hub_path(f"admin/users/{quote(person.name, safe='@')}/limits"))

    def _show(self, name: str, *, error: FormError | None = None) -> None:
        values = self.limit_values(Subject(Kind.USER, name), error=error)
        status = error.status if error else 200
        self.render_page("limits_user.html", status=status, name=name, **values)


class ClassLimitsHandler(ClassPage, LimitsPage):
    """Limits of a class's members, for admins, and for teachers where they may."""

    tab = "settings"

    @login_needed
    async def get(self, group: str) -> None:
        self._show(self.open_class(group).name)

    @login_needed
    async def post(self, group: str) -> None:
        one = self.open_class(group)
        if not self.asker.scopes.allows("admin:groups", Target(group=one.name)):
            check_teachers_may(self.limits)
        try:
            await self.save(Subject(Kind.GROUP, one.name))
        except ApplianceError as wrong:
            self._show(one.name, error=_form_error(wrong, self.wrong))
        else:
            self.redirect(self.class_path(one.name, "/limits"))

    def _show(self, group: str, *, error: FormError | None = None) -> None:
        one = self.classes.get(group)
        values = self.limit_values(Subject(Kind.GROUP, one.name), error=error)
        may = self.asker.scopes.allows("admin:groups", Target(group=one.name))
        self.show_class(
            "limits_class.html",
            one,
            status=error.status if error else 200,
            may_change=may or self.limits.book.teachers_may,
            **values,
        )


def rows_of(effective: Effective, class_size: int) -> list[Row]:
    """The limits in words, as far as there is something to say."""
    return [
        Row(label, _in_words(name, one.value), _source(one, class_size))
        for name, label in _LABELS.items()
        for one in [effective.limits[name]]
        if name not in _USUAL or one.value != _USUAL[name]
    ]


def in_a_sentence(effective: Effective) -> str:
    """What a server may use, for the page of its user."""
    memory = in_bytes(effective.memory)
    if effective.cpu is not None:
        return localized(
            say(
                "It may use {memory} of memory and {cores} processor cores.",
                memory=memory,
                cores=decimal(effective.cpu),
            )
        )
    return localized(say("It may use {memory} of memory.", memory=memory))


def _in_words(name: str, value: Number | None) -> str:
    if value is None:
        return localized(say("no limit"))
    if name in _SIZES:
        return in_bytes(value)
    if name == "run_time":
        return duration(value)
    if name == "cpu":
        words = say_many("{count} core", "{count} cores", 1 if value == 1 else 2)
        return localized(_with_count(words, decimal(value)))
    if name in ("cpu_weight", "io_weight"):
        return localized(say("{percent} % of the usual", percent=value))
    return decimal(value)


def _with_count(words: Text, count: str) -> Text:
    return Text.of(words.pattern, {"count": count}, many=words.many, count=words.number)


def _source(one: Limit, class_size: int) -> str:
    source = one.source
    if source.kind == "user":
        on_page, elsewhere = say("set here"), say("set for this user in the configuration")
    elif source.kind == "group":
        on_page = say("set for the group “{group}”", group=source.name)
        elsewhere = say("set for the group “{group}” in the configuration", group=source.name)
    elif source.kind == "machine":
        return localized(
            say_many(
                "what fits this machine for {count} person at a time",
                "what fits this machine for {count} people at a time",
                class_size,
            )
        )
    else:
        on_page = elsewhere = say("as for everybody")
    return localized(on_page if source.on_page else elsewhere)


def _typed(name: str, value: Number | None) -> str:
    return "" if value is None else limit_text(name, value)


def _parsed(name: str, text: str) -> Number | None:
    """What somebody typed; raises BadRequest."""
    if not text:
        return None
    text = text.replace(",", ".")
    found: Number | str
    try:
        if name == "memory":
            found = parse_size(text)
        else:
            found = float(text) if name == "cpu" else int(text)
    except ValueError:
        found = text
    if isinstance(found, str) or found != found:
        raise BadRequest(
            "cannot read the limit",
            why=say("{typed!r} is no size such as 512 MB or 2 GB", typed=text[:20])
            if name == "memory"
            else say("{typed!r} is no number", typed=text[:20]),
        )
    return found


def _form_error(wrong: ApplianceError, field: str) -> FormError:
    return FormError.of(wrong, field="force" if isinstance(wrong, Conflict) else field)


handlers = [
    Pattern(r"/admin/users/(?P<name>[^/]+)/limits", UserLimitsHandler),
    Pattern(r"/classes/(?P<group>[^/]+)/limits", ClassLimitsHandler),
]
