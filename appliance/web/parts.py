"""What every handler gets, and the promises it relies on; the hub fulfils them (`hub/app.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tornado.web import RequestHandler

from appliance.access.principal import Principal
from appliance.access.scopes import GroupsOf
from appliance.audit import AuditLog
from appliance.names import Username
from appliance.web.xsrf import Xsrf


class Pattern(NamedTuple):
    """A handler and the regular expression of its paths below /hub; groups are named."""

    path: str
    handler: type[RequestHandler]


@dataclass(frozen=True, slots=True)
class NewSession:
    """A log-in that just began: the only time its secret is known."""

    secret: str
    session_id: str
    expires: datetime


class SessionKeeper(Protocol):
    """Begins and ends log-in sessions."""

    def open(self, user: Username, *, address: str, user_agent: str) -> NewSession: ...

    def close(self, login_id: int) -> None: ...


class Identify(Protocol):
    """Tells whose cookie or token it is; None for all that isn't valid now."""

    def by_cookie(self, secret: str) -> Principal | None: ...

    def by_token(self, token: str) -> Principal | None: ...


class RootConnections(Protocol):
    """Tells which connections came through the admin socket from root."""

    def is_root(self, connection: object) -> bool: ...


class Arrivals(Protocol):
    """Receives people who have just logged in: what they will need is begun at once."""

    async def at_log_in(self, principal: Principal, goal: str | None) -> str: ...

    async def at_sign_up(self, principal: Principal) -> None: ...


class TakesCodes(Protocol):
    """Knows whether anybody could have a join code that works."""

    @property
    def takes_codes(self) -> bool: ...


class CountsWaiting(Protocol):
    """Counts who waits for a decision of whoever looks at a page."""

    def count(self, who: Principal) -> object: ...


@dataclass(frozen=True, slots=True)
class Web:
    """The parts that every page and API handler shares."""

    base_url: str
    identify: Identify
    sessions: SessionKeeper
    root_connections: RootConnections
    xsrf: Xsrf
    render: Callable[[str, dict[str, Any]], str]
    """A template's name and its values to HTML."""
    groups_of: GroupsOf
    audit: AuditLog
    language: str = ""
    """The language of pages for whoever chose none; empty means the browser's."""
    content_host: str = ""
    """The other host name, where users' servers are; empty: they are on this one."""

    @property
    def hub_url(self) -> str:
        return f"{self.base_url}hub/"
