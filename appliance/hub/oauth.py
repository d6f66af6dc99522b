"""The OAuth 2 provider by which servers and services learn who their visitor is, as in JupyterHub.

Here is who may get a code and for what; the protocol is in `oauth_grant.py`, loaded when the first
browser comes along.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import Any

from sqlalchemy import select

from appliance import audit
from appliance.access.principal import Principal
from appliance.access.roles import Roles
from appliance.access.scopes import GroupsOf, Target
from appliance.audit import Action
from appliance.clock import Clock
from appliance.db.models import ApiToken, User
from appliance.db.session import Database
from appliance.errors import NotAllowed
from appliance.hub.oauth_scopes import granted_scopes
from appliance.hub.oauth_values import Ask, Client, Go, Wish
from appliance.names import ServerId, ServerName, Username


class OAuthProvider:
    """Decides what a browser's user grants to a client."""

    def __init__(self, *, db: Database, clock: Clock, roles: Roles, groups_of: GroupsOf) -> None:
        self._db = db
        self._clock = clock
        self._roles = roles
        self._groups_of = groups_of
        self._on_open: Callable[[str, ServerId], None] = lambda _visitor, _server: None

    def follow(self, on_open: Callable[[str, ServerId], None]) -> None:
        """Have somebody told who comes to another's server."""
        self._on_open = on_open

    @cached_property
    def _grant(self) -> Any:
        from appliance.hub.oauth_grant import CodeGrant

        return CodeGrant(db=self._db, clock=self._clock, roles=self._roles)

    def authorize(
        self, query: str, principal: Principal, *, agreed: Collection[str] | None = None
    ) -> Ask | Go:
        """Answer a browser that a client sent; `agreed` are the scopes of a confirmed form.

        Raises BadRequest for an unknown client or address, to which nobody is sent back;
        NotAllowed for who may not use that server or service.
        """
        wish: Wish | Go = self._grant.check(query)
        if isinstance(wish, Go):
            return wish
        client = wish.client
        self._check_access(client, principal)
        granted = self._granted(client, principal, wish.scopes)
        if agreed is None and self._must_ask(client, principal, granted):
            return Ask(client, tuple(granted))
        if agreed is not None:
            if not set(agreed) <= set(granted):
                refused: Go = self._grant.refuse_scopes(query)
                return refused
            granted = self._granted(client, principal, agreed)
        way: Go = self._grant.give_code(query, principal, granted)
        if client.owner:
            name = f"{client.owner}/{client.server}" if client.server else client.owner
            audit.note_unless_own(Action.OPEN_SERVER, client.owner, name)
            if principal.name != client.owner:
                server = ServerId(Username(client.owner), ServerName(client.server))
                self._on_open(principal.name, server)
        return way

    def deny(self, query: str, principal: Principal) -> Go:
        """The way back for a browser whose user said no; refused like `authorize`."""
        wish: Wish | Go = self._grant.check(query)
        if isinstance(wish, Wish):
            self._check_access(wish.client, principal)
        way: Go = self._grant.deny(query)
        return way

    def token(self, body: str) -> tuple[int, dict[str, str], str]:
        """Answer a client that has a code: status, headers and JSON."""
        answer: tuple[int, dict[str, str], str] = self._grant.token(body)
        return answer

    def _granted(self, client: Client, principal: Principal, asked: Collection[str]) -> list[str]:
        return granted_scopes(self._roles, client, principal, asked, groups_of=self._groups_of)

    def _must_ask(self, client: Client, principal: Principal, granted: list[str]) -> bool:
        """Not for people's own servers, nor while they hold a token of this client for as much."""
        if client.owner == principal.name or not client.confirm:
            return False
        query = (
            select(ApiToken.scopes)
            .join(User, User.id == ApiToken.user_id)
            .where(
                ApiToken.oauth_client_id == client.id,
                User.name == principal.name,
                ApiToken.expires > self._clock.now(),
            )
        )
        with self._db.session() as session:
            held = list(session.scalars(query))
        return not any(set(granted) <= set(scopes) for scopes in held)

    def _check_access(self, client: Client, principal: Principal) -> None:
        if client.service:
            if not principal.scopes.allows("access:services", Target(service=client.service)):
                raise NotAllowed(
                    f"cannot open the service {client.service!r}",
                    why=f"you may not use it (it takes access:services!service={client.service})",
                    mend="ask an admin to let you in, by a role of the configuration",
                )
            return
        target = Target(
            user=client.owner, server=client.server, groups=self._groups_of(client.owner)
        )
        if not principal.scopes.allows("access:servers", target):
            raise NotAllowed(
                "cannot open this server",
                why=f"it belongs to {client.owner!r}",
                mend="open your own server",
            )
