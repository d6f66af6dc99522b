"""What JupyterHub's API has no word for: approval, passwords, set-up links, limits."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from appliance.access.scopes import Target
from appliance.clock import stamp
from appliance.db.models import UserState
from appliance.errors import BadRequest, NotAllowed
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.proofs import ManagedHandler
from appliance.hub.api.users import UserHandlerBase
from appliance.hub.classroom.approvals import Approvals
from appliance.hub.classroom.rights import Rights
from appliance.hub.links import Links
from appliance.interfaces import Spawner
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class NewAccounts(Body):
    """Names to make accounts of."""

    usernames: list[str]
    admin: bool = False
    generate: bool = False
    approved: bool = True


class NewPassword(Body):
    """A password, or the wish for a generated one."""

    password: str | None = None
    generate: bool = False


class WantedLink(Body):
    """How long a link is to work, in seconds."""

    expires_in: int = Field(86400, ge=300, le=7 * 86400)


class AccountListHandler(HubApiHandler):
    """Makes many accounts; tells the generated passwords, this once."""

    @needs_scope("admin:users")
    async def post(self) -> None:
        body = self.parse_body(NewAccounts)
        if body.admin and not self.identified().admin:
            raise NotAllowed("cannot make admins", why="only admins may")
        made = await self.users.create_many(
            body.usernames, admin=body.admin, generate=body.generate, approved=body.approved
        )
        self.reply(
            {
                "created": [{"name": new.name, "password": new.password} for new in made.created],
                "skipped": [{"name": one.name, "why": one.why} for one in made.skipped],
            },
            status=201,
        )


class ApproveHandler(UserHandlerBase):
    """Lets a waiting user in; one who is in already stays so."""

    approvals: Approvals
    rights: Rights

    @needs_scope("admin:users", "classroom")
    async def post(self, user: str) -> None:
        who, person = self.identified(), self.person(user)
        self.rights.check_may_manage(who, person, self.groups.of(person.name))
        if person.state is not UserState.ACTIVE:
            decided = await self.approvals.approve(who, [person.name])
            for error in decided.failed:
                raise error
        self.reply(self.model(self.person(user)))


class PasswordHandler(ManagedHandler):
    """Sets a user's password; a generated one must be changed at the first log-in, and so must one
    that a teacher chose."""

    authenticator: NativeAuthenticator

    @needs_scope("admin:users", "classroom")
    async def put(self, user: str) -> None:
        body = self.parse_body(NewPassword)
        person = self.managed(user)
        if (body.password is None) != body.generate:
            raise BadRequest(
                "cannot set the password", why="the request must have either password or generate"
            )
        if body.password is None:
            self.reply({"password": await self.authenticator.generate_for(person.name)})
        else:
            is_teachers = not self.identified().scopes.allows("admin:users", Target())
            await self.authenticator.set_password(
                person.name, body.password, must_change=is_teachers
            )
            self.reply({"password": None})


class SetupLinkHandler(ManagedHandler):
    """Makes a link with which a user chooses a password, once."""

    links: Links

    @needs_scope("admin:users", "classroom")
    async def post(self, user: str) -> None:
        body = self.parse_body(WantedLink)
        person = self.managed(user)
        made = self.links.make(person.name, lifetime=timedelta(seconds=body.expires_in))
        self.reply({"path": made.path, "expires_at": stamp(made.expires)}, status=201)


class LimitsHandler(HubApiHandler):
    """Puts the limits of the configuration on servers that run."""

    spawner: Spawner

    @needs_scope("admin:servers")
    async def post(self) -> None:
        await self.spawner.apply_limits()
        self.reply({})


_USER = r"/api/appliance/users/(?P<user>[^/]+)"

handlers = [
    Pattern(r"/api/appliance/users", AccountListHandler),
    Pattern(rf"{_USER}/approve", ApproveHandler),
    Pattern(rf"{_USER}/password", PasswordHandler),
    Pattern(rf"{_USER}/setup-link", SetupLinkHandler),
    Pattern(r"/api/appliance/apply-limits", LimitsHandler),
]
