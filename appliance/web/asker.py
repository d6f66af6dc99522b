"""A request as the audit log knows it: who asks, and whose account it was before sudo."""

from __future__ import annotations

from typing import Final

from tornado.httputil import HTTPServerRequest

from appliance.access.principal import Kind, Principal
from appliance.audit import VISITOR, Actor, AuditLog
from appliance.web.parts import Web

# Sent by our command line; believed of root alone, who could as well say anything else.
UNIX_USER_HEADER: Final = "X-Appliance-Unix-User"


class Asking:
    """What makes a handler an `appliance.audit.Asker`."""

    web: Web
    request: HTTPServerRequest
    principal: Principal | None

    @property
    def audit(self) -> AuditLog:
        return self.web.audit

    @property
    def address(self) -> str:
        """The client's address as the proxy tells it; empty on the admin socket."""
        if self.principal and self.principal.kind is Kind.ROOT:
            return ""
        return self.request.remote_ip or ""

    @property
    def actor(self) -> Actor:
        who = self.principal
        if who is None:
            return VISITOR
        if who.kind is Kind.ROOT:
            unix_user = self.request.headers.get(UNIX_USER_HEADER, "")[:64]
            return Actor("root", who.name, unix_user=unix_user)
        token = f"a{who.token_id}" if who.token_id is not None else ""
        return Actor(who.kind.value, who.name, token)
