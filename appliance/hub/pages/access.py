"""How somebody gets in again: a link to choose a password, a second factor that is lost, tries that
were too many; and locking somebody out. For admins, and for teachers of the user's class.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from urllib.parse import quote

from appliance import audit
from appliance.audit import Action
from appliance.errors import BadRequest
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.rights import Rights
from appliance.hub.links import Links
from appliance.hub.pages.shown_once import Link, ShownOnce
from appliance.hub.profiles import Profiles
from appliance.hub.sessions import Sessions
from appliance.hub.users import Person, Users
from appliance.native_auth.second_factor import SecondFactor
from appliance.native_auth.throttle import Throttle
from appliance.texts import say, say_many
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern
from appliance.web.qr_codes import qr_svg

# In hours: while somebody stands beside the teacher, or until the next lesson.
_LIFETIMES: Final = {"1": timedelta(hours=1), "24": timedelta(hours=24), "168": timedelta(days=7)}


class AccessHandler(PageHandler):
    """The page, and what its buttons do."""

    users: Users
    profiles: Profiles
    rights: Rights
    class_care: ClassCare
    links: Links
    sessions: Sessions
    throttle: Throttle
    second_factor: SecondFactor
    shown_once: ShownOnce

    @login_needed
    async def get(self, user: str) -> None:
        person = self._managed(user)
        if person.name == self.user:
            self.redirect(self.hub_path("account"))
            return
        key = self.get_query_argument("link", "")
        link = self.shown_once.find_link(key, self.user) if key else None
        link = link if link and link.user == person.name else None
        address = f"{self.request.protocol}://{self.request.host}{link.path}" if link else ""
        is_admin = self.principal is not None and self.principal.admin
        self.render_page(
            "access.html",
            person=person,
            link=link,
            address=address,
            qr=qr_svg(address, title=address) if link else "",
            wait=self.throttle.wait_of(person.name),
            factors=self.second_factor.state(person.id),
            required=self.second_factor.is_required(person.name),
            sessions=len(self.sessions.list_of(person.name)) if is_admin else 0,
        )

    @login_needed
    async def post(self, user: str) -> None:
        person = self._managed(user)
        acts = {
            "link": self._make_link,
            "factors": self._reset_factors,
            "tries": self._allow_tries,
            "sessions": self._end_sessions,
            "lock": self._lock,
            "unlock": self._unlock,
        }
        act = acts.get(self.get_body_argument("do", ""))
        if act is None:
            raise BadRequest("cannot do this", why="there is no such action")
        await act(person)

    async def _make_link(self, person: Person) -> None:
        lifetime = _LIFETIMES.get(self.get_body_argument("hours", "24"))
        if lifetime is None:
            raise BadRequest("cannot make such a link", why="there is no such time to choose")
        made = self.links.make(person.name, lifetime=lifetime)
        key = self.shown_once.put(self.user, Link(person.name, made.path, made.expires))
        self.redirect(f"{self._own_path(person)}?link={key}")

    async def _reset_factors(self, person: Person) -> None:
        self.second_factor.reset(person.name)
        self._done(person, say("The password of {name} alone lets in again.", name=person.name))

    async def _allow_tries(self, person: Person) -> None:
        self.throttle.forgive(person.name)
        audit.note(Action.ALLOW_TRIES, person.name)
        self._done(person, say("{name} may try to log in at once.", name=person.name))

    async def _end_sessions(self, person: Person) -> None:
        if self.principal is None or not self.principal.admin:
            raise BadRequest("cannot do this", why="only admins may log others out")
        count = self.sessions.end_all(person.name)
        if count:
            audit.note(Action.END_SESSION, person.name, count=count)
        note = say_many(
            "{name} is logged out of {count} browser.",
            "{name} is logged out of {count} browsers.",
            count,
            name=person.name,
        )
        self._done(person, note)

    async def _lock(self, person: Person) -> None:
        await self.class_care.lock(self.identified(), person.name)
        self._done(person, say("{name} is locked.", name=person.name))

    async def _unlock(self, person: Person) -> None:
        self.class_care.unlock(self.identified(), person.name)
        self._done(person, say("{name} is unlocked.", name=person.name))

    def _done(self, person: Person, note: str) -> None:
        self.leave_note("good", note)
        self.redirect(self._own_path(person))

    def _own_path(self, person: Person) -> str:
        return self.hub_path(f"users/{quote(person.name, safe='@')}/access")

    def _managed(self, user: str) -> Person:
        """The user, if who asks may have power over the account."""
        who = self.identified()
        person = self.users.get(user)
        if person.name != self.user:
            groups = self.web.groups_of(person.name)
            self.rights.check_may_manage(who, person, groups)
        return person


handlers = [Pattern(r"/users/(?P<user>[^/]+)/access", AccessHandler)]
