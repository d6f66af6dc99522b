"""Share codes: links by which whoever opens them gets to use a server."""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import Field

from appliance.clock import stamp
from appliance.errors import BadRequest, NotFound
from appliance.hub.api.handler import Body
from appliance.hub.api.paging import Part
from appliance.hub.api.shares import ShareModels
from appliance.hub.share_codes import CodePage, CodeView, ShareCodes
from appliance.hub.shares import bound
from appliance.names import ServerId
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_MINUTE: Final = 60
_DAY: Final = 24 * 3600
_YEAR: Final = 365 * _DAY
_SCOPES: Final = 50


class CodeBody(Body):
    """What a new code gives, and for how many seconds it can be used."""

    scopes: list[str] | None = Field(None, max_length=_SCOPES)
    expires_in: int = Field(_DAY, ge=_MINUTE, le=_YEAR)


class CodeModels(ShareModels):
    """Share codes as models."""

    share_codes: ShareCodes

    def code_model(self, view: CodeView) -> dict[str, Any]:
        return {
            "server": self.server_part(view.server, ready=view.ready),
            "scopes": bound(view.scopes, view.server),
            "id": f"sc_{view.number}",
            "created_at": stamp(view.created),
            "expires_at": stamp(view.expires),
            "exchange_count": view.exchanges,
            "last_exchanged_at": stamp(view.last_exchanged),
        }

    def reply_codes(self, part: Part, page: CodePage) -> None:
        self.reply_part(part, [self.code_model(view) for view in page.items], page.total)


class OwnerCodesHandler(CodeModels):
    """The codes for all servers of a user."""

    @needs_scope("read:shares")
    async def get(self, user: str) -> None:
        part = self.part(always_enveloped=True)
        name = self.person(user).name
        self.reply_codes(
            part, self.share_codes.of_owner(name, offset=part.offset, limit=part.limit)
        )


class ServerCodesHandler(CodeModels):
    """The codes for one server."""

    @needs_scope("read:shares")
    async def get(self, user: str, server: str) -> None:
        part = self.part(always_enveloped=True)
        found = self.known_server(user, server)
        self.reply_codes(
            part, self.share_codes.of_server(found, offset=part.offset, limit=part.limit)
        )

    @needs_scope("shares")
    async def post(self, user: str, server: str) -> None:
        body = self.parse_body(CodeBody)
        found = self.known_server(user, server)
        scopes = self.parse_given(found, body.scopes)
        view, code = self.share_codes.make(found, scopes, seconds=body.expires_in)
        once = {
            "code": code,
            "accept_url": f"{self.web.hub_url}accept-share?code={code}",
            "full_accept_url": None,
        }
        self.reply({**self.code_model(view), **once})

    @needs_scope("shares")
    async def delete(self, user: str, server: str) -> None:
        found = self.known_server(user, server)
        code = self.get_query_argument("code", "")
        name = self.get_query_argument("id", "")
        if code and name:
            raise BadRequest("cannot read the request", why="it has both a code and an id")
        if code or name:
            self._remove_one(found, code, name)
        else:
            self.share_codes.remove_all(found)
        self.reply_nothing()

    def _remove_one(self, server: ServerId, code: str, name: str) -> None:
        # What has more digits is beyond what the database counts with.
        match = re.fullmatch(r"sc_([0-9]{1,18})", name)
        if name and not match:
            raise NotFound("cannot find the share code", why="this server has no such code")
        number = int(match[1]) if match else None
        self.share_codes.remove(server, code=code, number=number)


handlers = [
    Pattern(r"/api/share-codes/(?P<user>[^/]+)", OwnerCodesHandler),
    Pattern(r"/api/share-codes/(?P<user>[^/]+)/(?P<server>[^/]*)", ServerCodesHandler),
]
