"""The OAuth 2 provider by which single-user servers learn who their visitor is, as in JupyterHub.

Here is who may get a code and for what; the protocol is in `oauth_grant.py`, loaded when the first
browser comes along.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from sqlalchemy import select

from appliance.access.principal import Principal
from appliance.access.scopes import Target
from appliance.clock import Clock
from appliance.db.models import ApiToken, User
from appliance.db.session import Database
from appliance.errors import BadRequest, NotAllowed
from appliance.hub.oauth_values import Ask, Client, Go


class OAuthProvider:
    """Decides what a browser's user grants to a client."""

    def __init__(self, *, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    @cached_property
    def _grant(self) -> Any:
        from appliance.hub.oauth_grant import CodeGrant

        return CodeGrant(db=self._db, clock=self._clock)

    def authorize(
        self, query: str, principal: Principal, *, agreed: Iterable[str] | None = None
    ) -> Ask | Go:
        """Answer a browser that a client sent; `agreed` are the scopes of a confirmed form.

        Raises BadRequest for an unknown client or address, to which nobody is sent back;
        NotAllowed for who may not use that server.
        """
        client: Client | Go = self._grant.check(query)
        if isinstance(client, Go):
            return client
        self._check_access(client, principal)
        scopes = _granted(client, principal, agreed)
        if agreed is None and self._must_ask(client, principal):
            return Ask(client, tuple(scopes))
        way: Go = self._grant.give_code(query, principal, scopes)
        return way

    def deny(self, query: str, principal: Principal) -> Go:
        """The way back for a browser whose user said no; refused like `authorize`."""
        client: Client | Go = self._grant.check(query)
        if isinstance(client, Client):
            self._check_access(client, principal)
        way: Go = self._grant.deny(query)
        return way

    def token(self, body: str) -> tuple[int, dict[str, str], str]:
        """Answer a client that has a code: status, headers and JSON."""
        answer: tuple[int, dict[str, str], str] = self._grant.token(body)
        return answer

    def _must_ask(self, client: Client, principal: Principal) -> bool:
        """Not for people's own servers, nor again while they hold a token of this client."""
        if client.owner == principal.name or not client.confirm:
            return False
        query = (
            select(ApiToken.id)
            .join(User, User.id == ApiToken.user_id)
            .where(
                ApiToken.oauth_client_id == client.id,
                User.name == principal.name,
                ApiToken.expires > self._clock.now(),
            )
            .limit(1)
        )
        with self._db.session() as session:
            return session.scalar(query) is None

    @staticmethod
    def _check_access(client: Client, principal: Principal) -> None:
        target = Target(user=client.owner, server=client.server)
        if not principal.scopes.allows("access:servers", target):
            raise NotAllowed(
                "cannot open this server",
                why=f"it belongs to {client.owner!r}",
                mend="open your own server",
            )


def _granted(client: Client, principal: Principal, agreed: Iterable[str] | None) -> list[str]:
    """What the token will hold: access to this server, and who its bearer is; nothing else."""
    if agreed is not None and not set(agreed) <= {*client.allowed_scopes, *_identify(principal)}:
        raise BadRequest("cannot agree to this", why="the form holds scopes that nobody asked for")
    return sorted({*client.allowed_scopes, *_identify(principal)})


def _identify(principal: Principal) -> set[str]:
    return {f"read:users:name!user={principal.name}", f"read:users:groups!user={principal.name}"}
