"""Who makes a request, how they proved it, and what they may do with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.access.scopes import Scopes
from appliance.errors import NotAllowed
from appliance.names import Username


class Kind(StrEnum):
    """What a principal is."""

    USER = "user"
    SERVICE = "service"
    ROOT = "root"
    """Root on this machine, over the admin socket."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom a cookie, a token or the admin socket's peer stands for, as of now."""

    kind: Kind
    name: str
    scopes: Scopes
    admin: bool = False
    """An admin, with all that admins may: a token for less than that is none."""
    must_change_password: bool = False
    must_add_factor: bool = False
    """A role demands a second factor, and there is none: until then the scopes are empty."""
    session_id: str | None = None
    """The browser session it belongs to; what logging out of it revokes."""
    login_id: int | None = None
    """The row of the log-in session, for cookies."""
    token_id: int | None = None
    """The row of the API token, for tokens."""
    language: str = ""
    """The language that the user chose for pages; empty means the browser's."""
    secret: str = ""
    """What XSRF tokens of this principal are bound to; empty unless it came by cookie."""

    @property
    def by_cookie(self) -> bool:
        return self.login_id is not None

    @property
    def username(self) -> Username:
        """The user's name; only for principals that are users."""
        if self.kind is not Kind.USER:
            raise NotAllowed("cannot do that", why=f"{self.name} is no user of the appliance")
        return Username(self.name)


def root() -> Principal:
    """Root on this machine."""
    return Principal(Kind.ROOT, "root", Scopes.everything(), admin=True)
