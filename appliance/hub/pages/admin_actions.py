"""What admins do with users and servers, for one or many, and the sentence that says how it went.

One that fails doesn't keep the others from being done.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from appliance.errors import ApplianceError, BadRequest, Conflict
from appliance.hub.classroom.approvals import Approvals
from appliance.hub.links import Links
from appliance.hub.pages.shown_once import Card, Link, Sheet
from appliance.hub.servers import Servers
from appliance.hub.users import Person, Skipped, Users
from appliance.names import ServerId, Username
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.texts import Text, say, say_many
from appliance.web.formats import sentence
from appliance.web.forms import joined, told
from appliance.web.languages import localized

log = logging.getLogger(__name__)

# What a note says of one user and of many.
_DONE: Final[dict[str, Callable[[int, str], Text]]] = {
    "approve": lambda count, name: say_many(
        "{name} is approved and can log in now.",
        "{count} users are approved and can log in now.", count, name=name,
    ),
    "start": lambda count, name: say_many(
        "The server of {name} is starting.", "{count} servers are starting.", count, name=name
    ),
    "stop": lambda count, name: say_many(
        "The server of {name} is stopping.", "{count} servers are stopping.", count, name=name
    ),
    "make-admin": lambda count, name: say_many(
        "{name} is an admin now.", "{count} users are admins now.", count, name=name
    ),
    "unmake-admin": lambda count, name: say_many(
        "{name} is no longer an admin.", "{count} users are no longer admins.", count, name=name
    ),
    "lock": lambda count, name: say_many(
        "{name} is locked out.", "{count} users are locked out.", count, name=name
    ),
    "unlock": lambda count, name: say_many(
        "{name} can log in again.", "{count} users can log in again.", count, name=name
    ),
    "remove": lambda count, name: say_many(
        "{name} is removed.", "{count} users are removed.", count, name=name
    ),
}  # fmt: skip
_DONE_NAMED: Final[dict[str, Callable[[str], Text]]] = {
    "start": lambda name: say("The server {name} is starting.", name=name),
    "stop": lambda name: say("The server {name} is stopping.", name=name),
    "forget": lambda name: say("The server {name} is off the list; files stay.", name=name),
}
_NOT_ON_ONESELF: Final = {"unmake-admin", "remove", "lock"}
_FAILURES_TOLD: Final = 5

# Raises NotAllowed for what may not be done with a user.
May = Callable[[str, Person], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action went, in words."""

    text: str
    failed: bool


class Actions:
    """Does what the buttons of the admin pages say."""

    def __init__(
        self,
        *,
        users: Users,
        servers: Servers,
        authenticator: NativeAuthenticator,
        links: Links,
        approvals: Approvals,
    ) -> None:
        self._users = users
        self._servers = servers
        self._authenticator = authenticator
        self._links = links
        self._approvals = approvals
        self._verbs: dict[str, Callable[[Person], Awaitable[None]]] = {
            "approve": self._approve,
            "start": self._start,
            "stop": self._stop,
            "make-admin": self._make_admin,
            "unmake-admin": self._unmake_admin,
            "remove": self._remove,
            "lock": self._lock,
            "unlock": self._unlock,
        }

    async def do(self, verb: str, names: Sequence[str], *, by: Username, may: May) -> Outcome:
        """Do it for each user with whom `by` may; raises BadRequest for an unknown verb."""
        act = self._verbs.get(verb)
        if act is None:
            raise BadRequest("cannot do this", why=f"there is no action {verb[:20]!r}")
        done: list[str] = []
        failures: list[ApplianceError] = []
        for name in names:
            try:
                if verb in _NOT_ON_ONESELF and name == by:
                    raise Conflict(
                        say("cannot do this to {name!r}", name=name),
                        why="that is you",
                        mend="ask another admin",
                    )
                person = self._users.get(name)
                may(verb, person)
                await act(person)
            except ApplianceError as error:
                failures.append(error)
            else:
                done.append(name)
        log.info("%s: %s %s", by, verb, ", ".join(done) or "nobody")
        return Outcome(_words(verb, done, failures), bool(failures))

    async def do_with_named(self, verb: str, server: ServerId) -> Outcome:
        """Start, stop or forget a named server; raises BadRequest for another verb."""
        if verb not in _DONE_NAMED:
            raise BadRequest("cannot do this", why=f"there is no action {verb[:20]!r}")
        try:
            if verb == "start":
                await self._servers.start(server)
            elif verb == "stop":
                await self._servers.stop(server)
            else:
                self._servers.forget(server)
        except ApplianceError as error:
            return Outcome(told(error), failed=True)
        return Outcome(_DONE_NAMED[verb](str(server)), failed=False)

    async def new_passwords(self, names: Sequence[str], *, by: Username, may: May) -> Sheet:
        """Give users generated passwords, to be changed at the first log-in."""
        cards: list[Card] = []
        skipped: list[Skipped] = []
        for name in names:
            try:
                if name == by:
                    raise Conflict(
                        "cannot make a password for yourself",
                        why="change yours on your own page",
                    )
                person = self._users.get(name)
                may("passwords", person)
                password = await self._authenticator.generate_for(person.name)
                cards.append(Card(person.name, password, person.full_name))
            except ApplianceError as error:
                skipped.append(Skipped(name, error.why or error.what))
        log.info("%s: new passwords for %s", by, ", ".join(card.name for card in cards) or "nobody")
        return Sheet(tuple(cards), tuple(skipped))

    def new_link(self, user: Username, *, by: Username) -> Link:
        """A set-up link, with which a user chooses a password."""
        log.info("%s: a set-up link for %s", by, user)
        made = self._links.make(user)
        return Link(user, made.path, made.expires)

    async def _approve(self, person: Person) -> None:
        await self._approvals.let_in(person)

    async def _start(self, person: Person) -> None:
        await self._servers.start(ServerId(person.name))

    async def _stop(self, person: Person) -> None:
        await self._servers.stop(ServerId(person.name))

    async def _make_admin(self, person: Person) -> None:
        self._users.set_admin(person.name, admin=True)

    async def _unmake_admin(self, person: Person) -> None:
        self._users.set_admin(person.name, admin=False)

    async def _lock(self, person: Person) -> None:
        await self._users.lock(person.name)

    async def _unlock(self, person: Person) -> None:
        self._users.unlock(person.name)

    async def _remove(self, person: Person) -> None:
        await self._users.remove(person.name)


def _words(verb: str, done: Sequence[str], failures: Sequence[ApplianceError]) -> str:
    parts = []
    if done:
        parts.append(localized(_DONE[verb](len(done), done[0])))
    for error in failures[:_FAILURES_TOLD]:
        parts.append(sentence(joined(error)))
        if len(failures) == 1 and error.mend:
            parts.append(sentence(localized(error.mend)))
    more = len(failures) - _FAILURES_TOLD
    if more > 0:
        parts.append(
            localized(say_many("And {count} more failed.", "And {count} more failed.", more))
        )
    return " ".join(parts)
