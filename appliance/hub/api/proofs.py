"""How users prove who they are: their sessions, second factors, and tries that were too many."""

from __future__ import annotations

from appliance import audit
from appliance.audit import Action
from appliance.clock import stamp
from appliance.hub.api.handler import HubApiHandler
from appliance.hub.browsers import in_words
from appliance.hub.classroom.rights import Rights
from appliance.hub.profiles import Profiles
from appliance.hub.sessions import Sessions
from appliance.hub.users import Person
from appliance.native_auth.second_factor import SecondFactor
from appliance.native_auth.throttle import Throttle
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class ManagedHandler(HubApiHandler):
    """For who may look after an account: admins, and teachers of the user's class."""

    rights: Rights

    def managed(self, user: str) -> Person:
        """The user, if the asker may have power over the account."""
        person = self.person(user)
        groups = self.web.groups_of(person.name)
        self.rights.check_may_manage(self.identified(), person, groups)
        return person


class FactorsHandler(ManagedHandler):
    """What a user has set up besides the password; resetting it lets in who lost it."""

    profiles: Profiles
    second_factor: SecondFactor

    @needs_scope("admin:users", "classroom")
    async def get(self, user: str) -> None:
        name = self.managed(user).name
        factors = self.second_factor.state(self.profiles.get(name).id)
        self.reply(
            {
                "app": factors.app,
                "passkeys": factors.passkeys,
                "recovery_codes": factors.recovery_codes,
                "required": self.second_factor.is_required(name),
            }
        )

    @needs_scope("admin:users", "classroom")
    async def delete(self, user: str) -> None:
        self.second_factor.reset(self.managed(user).name)
        self.reply_nothing()


class ThrottleHandler(ManagedHandler):
    """How long who tries to log in as a user has to wait; and letting them try again."""

    throttle: Throttle

    @needs_scope("admin:users", "classroom")
    async def get(self, user: str) -> None:
        wait = self.throttle.wait_of(self.managed(user).name)
        self.reply({"wait_seconds": round(wait)})

    @needs_scope("admin:users", "classroom")
    async def delete(self, user: str) -> None:
        name = self.managed(user).name
        self.throttle.forgive(name)
        audit.note(Action.ALLOW_TRIES, name)
        self.reply_nothing()


class SessionListHandler(HubApiHandler):
    """Where a user is logged in."""

    sessions: Sessions

    @needs_scope("read:tokens")
    async def get(self, user: str) -> None:
        who = self.identified()
        self.reply(
            [
                {
                    "id": str(one.id),
                    "device": in_words(one.user_agent),
                    "address": one.address,
                    "created": stamp(one.created),
                    "last_seen": stamp(one.last_seen),
                    "current": one.id == who.login_id,
                }
                for one in self.sessions.list_of(self.person(user).name)
            ]
        )

    @needs_scope("tokens")
    async def delete(self, user: str) -> None:
        person = self.person(user)
        self.check_may_change(person)
        count = self.sessions.end_all(person.name)
        if count:
            audit.note(Action.END_SESSION, person.name, count=count)
        self.reply({"ended": count})


class SessionHandler(HubApiHandler):
    """One session."""

    sessions: Sessions

    @needs_scope("tokens")
    async def delete(self, user: str, session: str) -> None:
        person = self.person(user)
        self.check_may_change(person)
        self.sessions.end(person.name, int(session))
        audit.note(Action.END_SESSION, person.name)
        self.reply_nothing()


_USER = r"/api/appliance/users/(?P<user>[^/]+)"

handlers = [
    Pattern(rf"{_USER}/factors", FactorsHandler),
    Pattern(rf"{_USER}/throttle", ThrottleHandler),
    Pattern(rf"{_USER}/sessions", SessionListHandler),
    Pattern(rf"{_USER}/sessions/(?P<session>[0-9]{{1,15}})", SessionHandler),
]
