"""API tokens of users: making, listing and revoking them."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from appliance.access.principal import Kind, Principal
from appliance.errors import ApplianceError, BadRequest, NotAllowed, NotFound, TooMany
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.models import token_model
from appliance.hub.tokens import Tokens
from appliance.hub.users import Person
from appliance.native_auth.authenticator import NativeAuthenticator
from appliance.native_auth.second_factor import SecondFactor
from appliance.web.guards import must_change_password, needs_scope, public
from appliance.web.parts import Pattern


class WantedToken(Body):
    """What a new token is to be; `auth` is what one would enter to log in."""

    note: str | None = None
    expires_in: int | None = None
    scopes: list[str] | None = None
    roles: list[str] | None = None
    auth: dict[str, Any] | None = Field(None, max_length=20)


class TokenListHandler(HubApiHandler):
    """A user's tokens."""

    authenticator: NativeAuthenticator
    second_factor: SecondFactor
    tokens: Tokens

    @needs_scope("read:tokens")
    async def get(self, user: str) -> None:
        views = self.tokens.list_of(self.person(user).name)
        self.reply({"api_tokens": [token_model(view) for view in views]})

    @public
    async def post(self, user: str) -> None:
        """By who may, or by anybody who sends the user's password along."""
        if self.principal is None:
            # Kept, so that the audit log knows who it was.
            self.principal = await self._log_in()
        who = self.principal
        person = self._check_may(who, user)
        body = self.parse_body(WantedToken)
        new = self.tokens.create(
            person.name,
            note=body.note or _default_note(who, person),
            expires_in=body.expires_in,
            scopes=body.scopes,
            roles=body.roles,
            within=who.scopes if who.token_id and _is_own(who, person) else None,
        )
        self.reply({**token_model(new.view), "token": new.secret}, status=201)

    async def _log_in(self) -> Principal:
        """By the name and password that are in the body's `auth`; strangers hear no more of it."""
        try:
            body = self.json_body()
        except BadRequest:
            body = None
        sent = body.get("auth") if isinstance(body, dict) else None
        if not isinstance(sent, dict):
            raise NotAllowed("Missing or invalid credentials.")
        name, password = sent.get("username"), sent.get("password")
        if not isinstance(name, str) or not isinstance(password, str):
            raise NotAllowed("Missing or invalid credentials.")
        try:
            found = await self.authenticator.log_in(name, password, address=self.address)
        except TooMany:
            raise
        except ApplianceError as err:
            raise NotAllowed("cannot log in", why=err.why) from err
        if self.authenticator.must_change(found):
            raise must_change_password()
        if self.second_factor.is_asked(found) or self.second_factor.is_missing(found):
            raise NotAllowed(
                "cannot log in",
                why="a password alone is not enough for this account",
                mend="make the token on the hub's page about tokens",
            )
        person = self.person(found)
        return Principal(
            Kind.USER, person.name, self.tokens.scopes_of(person.name), admin=person.admin
        )

    def _check_may(self, who: Principal, user: str) -> Person:
        """Which names there are is nothing that the answer tells."""
        refused = NotAllowed(
            f"cannot make a token for {user[:60]!r}",
            why="there is no such user, or it needs the scope tokens for this user",
        )
        try:
            person = self.person(user)
        except NotFound:
            raise refused from None
        if not who.scopes.allows("tokens", self.target(person.name)):
            raise refused
        if person.admin and not who.admin:
            raise NotAllowed(
                f"cannot make a token for {person.name!r}",
                why="only admins may make tokens with which one is an admin",
            )
        return person


class TokenHandler(HubApiHandler):
    """One token."""

    tokens: Tokens

    @needs_scope("read:tokens")
    async def get(self, user: str, token: str) -> None:
        self.reply(token_model(self.tokens.get(self.person(user).name, token)))

    @needs_scope("tokens")
    async def delete(self, user: str, token: str) -> None:
        self.tokens.revoke(self.person(user).name, token)
        self.set_status(204)
        self.finish()


def _default_note(who: Principal, owner: Person) -> str:
    if _is_own(who, owner):
        return "Requested via api"
    return f"Requested via api by {who.kind} {who.name}"


def _is_own(who: Principal, owner: Person) -> bool:
    return who.kind is Kind.USER and who.name == owner.name


_TOKENS = r"/api/users/(?P<user>[^/]+)/tokens"

handlers = [
    Pattern(_TOKENS, TokenListHandler),
    Pattern(rf"{_TOKENS}/(?P<token>[^/]+)", TokenHandler),
]
