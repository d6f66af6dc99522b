"""Sharing servers with users and groups; the models and paths are JupyterHub's."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from appliance.access.scopes import Target
from appliance.clock import stamp
from appliance.errors import BadRequest, NotAllowed
from appliance.hub.api.handler import Body
from appliance.hub.api.paging import PagedHandler, Part
from appliance.hub.shares import Receiver, SharePage, Shares, ShareView, bound, parse_scopes
from appliance.names import ServerId
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_SCOPES: Final = 50


class ShareBody(Body):
    """Whom a server is shared with, and the scopes; without any the server may be used."""

    user: str | None = None
    group: str | None = None
    scopes: list[str] | None = Field(None, max_length=_SCOPES)

    def receiver(self) -> Receiver:
        """Raises BadRequest unless there is just one."""
        if (self.user is None) == (self.group is None):
            raise BadRequest("cannot read the request", why="it must have either a user or a group")
        if self.user is not None:
            return Receiver("user", self.user)
        return Receiver("group", self.group or "")


class ShareModels(PagedHandler):
    """Shares as models, and who may give which."""

    shares: Shares

    def server_part(self, server: ServerId, *, ready: bool) -> dict[str, Any]:
        """The server's part of a share's model."""
        return {
            "user": {"name": server.user},
            "name": server.name,
            "url": server.url_path(self.web.base_url),
            "full_url": None,
            "ready": ready,
        }

    def share_model(self, view: ShareView) -> dict[str, Any]:
        to = {"name": view.receiver.name}
        return {
            "server": self.server_part(view.server, ready=view.ready),
            "scopes": bound(view.scopes, view.server),
            "user": to if view.receiver.kind == "user" else None,
            "group": to if view.receiver.kind == "group" else None,
            "kind": view.receiver.kind,
            "created_at": stamp(view.created),
        }

    def reply_shares(self, part: Part, page: SharePage) -> None:
        self.reply_part(part, [self.share_model(view) for view in page.items], page.total)

    def parse_given(self, server: ServerId, scopes: list[str] | None) -> tuple[str, ...]:
        """Scopes that who asks may give on a server; BadRequest and NotAllowed for others."""
        names = parse_scopes(scopes or (), server, custom=self.roles.custom)
        target = self.target(server.user, server.name)
        for name in names:
            if not self.identified().scopes.allows(name, target):
                raise NotAllowed(
                    f"cannot share the server {server}",
                    why=f"you don't hold the scope {name!r} on it yourself",
                )
        return names


class UserSharedHandler(ShareModels):
    """What others share with a user."""

    @needs_scope("read:users:shares")
    async def get(self, user: str) -> None:
        part = self.part(always_enveloped=True)
        name = self.person(user).name
        self.reply_shares(part, self.shares.with_user(name, offset=part.offset, limit=part.limit))


class GroupSharedHandler(ShareModels):
    """What is shared with a group."""

    @needs_scope("read:groups:shares")
    async def get(self, group: str) -> None:
        part = self.part(always_enveloped=True)
        name = self.groups.get(group).name
        self.reply_shares(part, self.shares.with_group(name, offset=part.offset, limit=part.limit))


class _OneSharedHandler(ShareModels):
    """One server that is shared with somebody, who may also give it back."""

    def _show(self, receiver: Receiver, owner: str, name: str) -> None:
        self.reply(self.share_model(self.shares.get(self.server_id(owner, name), receiver)))

    def _give_back(self, receiver: Receiver, owner: str, name: str) -> None:
        server = self.server_id(owner, name)
        self.shares.get(server, receiver)
        self.shares.revoke(server, receiver)
        self.reply_nothing()


class UserSharedServerHandler(_OneSharedHandler):
    """One server that is shared with a user."""

    @needs_scope("read:users:shares")
    async def get(self, user: str, owner: str, of: str) -> None:
        self._show(Receiver("user", self.person(user).name), owner, of)

    @needs_scope("users:shares")
    async def delete(self, user: str, owner: str, of: str) -> None:
        self._give_back(Receiver("user", self.person(user).name), owner, of)


class GroupSharedServerHandler(_OneSharedHandler):
    """One server that is shared with a group."""

    @needs_scope("read:groups:shares")
    async def get(self, group: str, owner: str, of: str) -> None:
        self._show(Receiver("group", self.groups.get(group).name), owner, of)

    @needs_scope("groups:shares")
    async def delete(self, group: str, owner: str, of: str) -> None:
        self._give_back(Receiver("group", self.groups.get(group).name), owner, of)


class OwnerSharesHandler(ShareModels):
    """What a user shares with others."""

    @needs_scope("read:shares")
    async def get(self, user: str) -> None:
        part = self.part(always_enveloped=True)
        name = self.person(user).name
        self.reply_shares(part, self.shares.of_owner(name, offset=part.offset, limit=part.limit))


class ServerSharesHandler(ShareModels):
    """With whom one server is shared: here it is given and taken back."""

    @needs_scope("read:shares")
    async def get(self, user: str, server: str) -> None:
        part = self.part(always_enveloped=True)
        found = self.known_server(user, server)
        self.reply_shares(part, self.shares.of_server(found, offset=part.offset, limit=part.limit))

    @needs_scope("shares")
    async def post(self, user: str, server: str) -> None:
        body = self.parse_body(ShareBody)
        receiver, found = body.receiver(), self.known_server(user, server)
        scopes = self.parse_given(found, body.scopes)
        self._check_may_name(receiver)
        self.reply(self.share_model(self.shares.grant(found, receiver, scopes)))

    @needs_scope("shares")
    async def patch(self, user: str, server: str) -> None:
        body = self.parse_body(ShareBody)
        receiver, found = body.receiver(), self.known_server(user, server)
        scopes = parse_scopes(body.scopes, found, custom=self.roles.custom) if body.scopes else ()
        left = self.shares.revoke(found, receiver, scopes)
        self.reply(self.share_model(left) if left else {})

    @needs_scope("shares")
    async def delete(self, user: str, server: str) -> None:
        self.shares.revoke_all(self.known_server(user, server))
        self.reply_nothing()

    def _check_may_name(self, receiver: Receiver) -> None:
        """Raise NotAllowed for who could find out by sharing which users and groups there are."""
        is_user = receiver.kind == "user"
        scope = "read:users:name" if is_user else "read:groups:name"
        target = self.target(receiver.name) if is_user else Target(group=receiver.name)
        if not self.identified().scopes.allows(scope, target):
            raise NotAllowed(
                f"cannot share with the {receiver.kind} {receiver.name[:60]!r}",
                why=f"you may not see that {receiver.kind}'s name: it needs the scope {scope}",
                mend="make a share code, and send its link",
            )


_USER: Final = r"/api/users/(?P<user>[^/]+)/shared"
_GROUP: Final = r"/api/groups/(?P<group>[^/]+)/shared"
_OF: Final = r"/(?P<owner>[^/]+)/(?P<of>[^/]*)"

handlers = [
    Pattern(_USER, UserSharedHandler),
    Pattern(_GROUP, GroupSharedHandler),
    Pattern(_USER + _OF, UserSharedServerHandler),
    Pattern(_GROUP + _OF, GroupSharedServerHandler),
    Pattern(r"/api/shares/(?P<user>[^/]+)", OwnerSharesHandler),
    Pattern(r"/api/shares/(?P<user>[^/]+)/(?P<server>[^/]*)", ServerSharesHandler),
]
