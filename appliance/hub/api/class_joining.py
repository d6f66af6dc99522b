"""How people come in: join codes, who waits to be let in, and joining by a code.

Below a class these are its teachers'; without one they are for accounts in no class, and admins'.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from appliance.access.scopes import Target
from appliance.clock import stamp
from appliance.errors import NotAllowed, NotFound
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.classroom.approvals import NAMES_AT_ONCE, Approvals, Decided, Waiter
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.invites import Expiry, Invites, InviteView
from appliance.hub.classroom.joining import Joining
from appliance.hub.classroom.rights import Rights
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class NewInvite(Body):
    """How long a join code works, for how many people, and what its maker remembers it by."""

    expires: Expiry = Field(default=Expiry.WEEK, strict=False)
    uses: int | None = None
    note: str = ""


class WaitingNames(Body):
    """On whom to decide."""

    usernames: list[str] = Field(min_length=1, max_length=NAMES_AT_ONCE)


class JoinCode(Body):
    """What somebody joins with."""

    code: str


class JoiningHandler(HubApiHandler):
    """What the handlers share."""

    classes: Classes
    invites: Invites
    approvals: Approvals
    joining: Joining
    rights: Rights

    @staticmethod
    def invite_model(one: InviteView) -> dict[str, Any]:
        return {
            "id": one.number,
            "code": one.code or None,
            "class": one.group,
            "note": one.note,
            "created": stamp(one.created),
            "created_by": one.created_by,
            "expires_at": stamp(one.expires) if one.expires else None,
            "uses": one.uses,
            "most_uses": one.most_uses,
            "works": one.works,
        }

    @staticmethod
    def waiter_model(one: Waiter) -> dict[str, Any]:
        return {
            "name": one.person.name,
            "full_name": one.person.full_name,
            "signed_up": stamp(one.person.created),
            "taken_for": one.taken_for or None,
        }

    def reply_decided(self, decided: Decided) -> None:
        self.reply({"done": list(decided.done), "failed": [str(one) for one in decided.failed]})

    def make_invite(self, group: str | None) -> None:
        body = self.parse_body(NewInvite)
        made = self.invites.make(
            group, by=self.identified().name, expiry=body.expires, most_uses=body.uses,
            note=body.note,
        )  # fmt: skip
        self.reply(self.invite_model(made), status=201)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 15):
        raise NotFound("cannot find the join code", why="there is none of this number")
    return int(text)


class InviteListHandler(JoiningHandler):
    """The join codes of a class."""

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.classes.get(group)
        self.reply([self.invite_model(one) for one in self.invites.list_of(group)])

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        self.rights.check_may_fill(self.identified(), group)
        self.make_invite(group)


class InviteHandler(JoiningHandler):
    """One join code of a class."""

    @needs_scope("classroom")
    async def get(self, group: str, invite: str) -> None:
        self.reply(self.invite_model(self.invites.get(group, _number(invite))))

    @needs_scope("classroom")
    async def delete(self, group: str, invite: str) -> None:
        self.invites.revoke(group, _number(invite))
        self.reply_nothing()


class WaitingHandler(JoiningHandler):
    """Who waits to be let into a class."""

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.classes.get(group)
        self.reply([self.waiter_model(one) for one in self.approvals.waiting(group)])


class ApproveHandler(JoiningHandler):
    """Lets people into a class who wait."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        names = self.parse_body(WaitingNames).usernames
        self.reply_decided(await self.approvals.approve(self.identified(), names, group=group))


class RejectHandler(JoiningHandler):
    """Takes away accounts that wait to be let into a class."""

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        names = self.parse_body(WaitingNames).usernames
        self.reply_decided(await self.approvals.reject(self.identified(), names, group=group))


class OpenInviteListHandler(JoiningHandler):
    """The join codes for accounts in no class."""

    @needs_scope("admin:users")
    async def get(self) -> None:
        self.reply([self.invite_model(one) for one in self.invites.list_of(None)])

    @needs_scope("admin:users")
    async def post(self) -> None:
        self.make_invite(None)


class OpenInviteHandler(JoiningHandler):
    """One join code for accounts in no class."""

    @needs_scope("admin:users")
    async def get(self, invite: str) -> None:
        self.reply(self.invite_model(self.invites.get(None, _number(invite))))

    @needs_scope("admin:users")
    async def delete(self, invite: str) -> None:
        self.invites.revoke(None, _number(invite))
        self.reply_nothing()


class OpenWaitingHandler(JoiningHandler):
    """Who waits to be let in and is in no class."""

    @needs_scope("admin:users")
    async def get(self) -> None:
        self.reply([self.waiter_model(one) for one in self.approvals.waiting(None)])


class OpenApproveHandler(JoiningHandler):
    """Lets anybody in who waits."""

    @needs_scope("admin:users")
    async def post(self) -> None:
        names = self.parse_body(WaitingNames).usernames
        self.reply_decided(await self.approvals.approve(self.identified(), names))


class OpenRejectHandler(JoiningHandler):
    """Takes away accounts that wait."""

    @needs_scope("admin:users")
    async def post(self) -> None:
        names = self.parse_body(WaitingNames).usernames
        self.reply_decided(await self.approvals.reject(self.identified(), names))


class JoinHandler(JoiningHandler):
    """Joins a class by a code, as the user who asks.

    It gives teachers rights on the user's servers, so it takes as much as making tokens.
    """

    @needs_scope("tokens", rows=True)
    async def post(self) -> None:
        if not self.identified().scopes.allows("tokens", Target(user=self.user)):
            raise NotAllowed(
                "Action is not authorized with current scopes", why="requires any of [tokens]"
            )
        code = self.parse_body(JoinCode).code
        standing = await self.joining.join(self.users.get(self.user), code)
        found = standing.found
        self.reply({"class": found.group, "title": found.title, "already": standing.already})


_CLASS: Final = r"/api/appliance/classes/(?P<group>[^/]+)"
_INVITE: Final = r"/invites/(?P<invite>[^/]+)"

handlers = [
    Pattern(rf"{_CLASS}/invites", InviteListHandler),
    Pattern(_CLASS + _INVITE, InviteHandler),
    Pattern(rf"{_CLASS}/waiting", WaitingHandler),
    Pattern(rf"{_CLASS}/waiting/approve", ApproveHandler),
    Pattern(rf"{_CLASS}/waiting/reject", RejectHandler),
    Pattern(r"/api/appliance/invites", OpenInviteListHandler),
    Pattern(r"/api/appliance" + _INVITE, OpenInviteHandler),
    Pattern(r"/api/appliance/waiting", OpenWaitingHandler),
    Pattern(r"/api/appliance/waiting/approve", OpenApproveHandler),
    Pattern(r"/api/appliance/waiting/reject", OpenRejectHandler),
    Pattern(r"/api/appliance/join", JoinHandler),
]
