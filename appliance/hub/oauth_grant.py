"""The authorization code grant: oauthlib decides what is valid; here is what it asks of us.

Two facts of JupyterHub's protocol bend its rules: redirect URIs are bare paths, and the hub may be
on plain HTTP behind a proxy. oauthlib insists on absolute https URIs, so it is shown the paths
below a host that doesn't exist, which is cut off again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauthlib.oauth2 import (
    AccessDeniedError,
    AuthorizationCodeGrant,
    AuthorizationEndpoint,
    BearerToken,
    FatalClientError,
    InvalidScopeError,
    OAuth2Error,
    RequestValidator,
    TokenEndpoint,
)
from sqlalchemy import delete, select

from appliance.access.principal import Principal
from appliance.access.roles import Roles
from appliance.access.tokens import MAX_LENGTH, hash_secret, new_secret
from appliance.clock import Clock
from appliance.db.models import ApiToken, OAuthClient, OAuthCode, Server, User
from appliance.db.session import Database
from appliance.errors import BadRequest
from appliance.hub.oauth_scopes import may_ask
from appliance.hub.oauth_values import TOKEN_DAYS, Client, Go, Wish

log = logging.getLogger(__name__)

TOKEN_SECONDS: Final = TOKEN_DAYS * 24 * 3600
_CODE_LIFETIME: Final = timedelta(minutes=5)
# Of one user, for one client: more browsers than anybody has.
_TOKENS_OF_ONE: Final = 100
_NOWHERE: Final = "https://relative.invalid"


class CodeGrant:
    """Gives codes to browsers and tokens to clients."""

    def __init__(self, *, db: Database, clock: Clock, roles: Roles) -> None:
        validator = _Validator(db=db, clock=clock, roles=roles)
        grant = AuthorizationCodeGrant(validator, refresh_token=False)
        bearer = BearerToken(
            validator,
            token_generator=lambda *_args, **_more: new_secret(),
            expires_in=TOKEN_SECONDS,
        )
        # The stubs want a name where the library wants the handler itself.
        self._authorization = AuthorizationEndpoint(
            "code",
            bearer,  # type: ignore[arg-type]
            {"code": grant},
        )
        self._token = TokenEndpoint(
            "authorization_code",
            bearer,  # type: ignore[arg-type]
            {"authorization_code": grant},
        )

    def check(self, query: str) -> Wish | Go:
        """What the client that sent a browser here wants, or the way back with an error.

        Raises BadRequest for an unknown client or address, to which nobody is sent back.
        """
        try:
            scopes, found = self._authorization.validate_authorization_request(_uri(query), "GET")
        except FatalClientError as err:
            raise _not_there(err) from err
        except OAuth2Error as err:
            return _back_with(err)
        return Wish(found["request"].client, tuple(scopes))

    def give_code(self, query: str, principal: Principal, scopes: list[str]) -> Go:
        """The way back to the client, with a code for a token of these scopes."""
        try:
            headers, _, _ = self._authorization.create_authorization_response(
                _uri(query), "GET", scopes=scopes, credentials={"principal": principal}
            )
        except FatalClientError as err:
            raise _not_there(err) from err
        except OAuth2Error as err:
            return _back_with(err)
        return Go(_relative(headers["Location"]))

    def deny(self, query: str) -> Go:
        """The way back to a client to which the user said no."""
        return self._refuse(query, AccessDeniedError(description="the user said no"))

    def refuse_scopes(self, query: str) -> Go:
        """The way back after a form with scopes that the client may not have."""
        return self._refuse(query, InvalidScopeError())

    def _refuse(self, query: str, error: OAuth2Error) -> Go:
        found = self.check(query)
        if isinstance(found, Go):
            return found
        pairs = parse_qsl(query, max_num_fields=50)
        error.state = next((value for name, value in pairs if name == "state"), "")
        return Go(_relative(error.in_uri(_absolute_uri(found.client.redirect_uri))))

    def token(self, body: str) -> tuple[int, dict[str, str], str]:
        """Answer a client that has a code: status, headers and JSON."""
        headers, answer, status = self._token.create_token_response(
            f"{_NOWHERE}/", "POST", _absolute(body), {}
        )
        if status >= 400:
            log.info("no token given: %s", answer)
        return status, headers, answer


class _Validator(RequestValidator):
    """What oauthlib asks about clients, codes and tokens."""

    def __init__(self, *, db: Database, clock: Clock, roles: Roles) -> None:
        super().__init__()
        self._db = db
        self._clock = clock
        self._roles = roles

    # The browser's part

    def validate_client_id(self, client_id: str, request: Any, *_: Any, **__: Any) -> bool:
        found = self._clients(client_id)
        wanted = _relative(request.redirect_uri or "")
        matching = [client for client in found if client.redirect_uri == wanted]
        request.client = next(iter(matching or found), None)
        return request.client is not None

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Any, *_: Any, **__: Any
    ) -> bool:
        return bool(request.client.redirect_uri == _relative(redirect_uri))

    def get_default_redirect_uri(self, client_id: str, request: Any, *_: Any, **__: Any) -> str:
        return _absolute_uri(request.client.redirect_uri)

    def validate_response_type(
        self,
        client_id: str,
        response_type: str,
        client: Any,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        return response_type == "code"

    def get_default_scopes(self, client_id: str, request: Any, *_: Any, **__: Any) -> list[str]:
        return list(request.client.allowed_scopes)

    def validate_scopes(
        self,
        client_id: str,
        scopes: list[str],
        client: Any,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        # The second look, with the principal, is at what `authorize` grants: more than was asked
        # for.
        if getattr(request, "principal", None) is not None:
            return True
        return may_ask(self._roles, client, scopes)

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return False  # clients of JupyterHub 5 send none; who sends one is held to it

    def save_authorization_code(
        self, client_id: str, code: Any, request: Any, *_: Any, **__: Any
    ) -> None:
        principal: Principal = request.principal
        with self._db.session() as session:
            user_id = session.scalar(select(User.id).where(User.name == principal.name))
            session.add(
                OAuthCode(
                    hash=hash_secret(code["code"]),
                    client_id=request.client.id,
                    user_id=user_id,
                    session_id=principal.session_id,
                    redirect_uri=_relative(request.redirect_uri),
                    scopes=list(request.scopes),
                    code_challenge=(request.code_challenge or None),
                    code_challenge_method=(request.code_challenge_method or None),
                    expires=self._clock.now() + _CODE_LIFETIME,
                )
            )

    # The client's part

    def client_authentication_required(self, request: Any, *_: Any, **__: Any) -> bool:
        return True

    def authenticate_client(self, request: Any, *_: Any, **__: Any) -> bool:
        secret = request.client_secret or ""
        if not 0 < len(secret) <= MAX_LENGTH:
            return False
        found = self._clients(request.client_id or "", secret_hash=hash_secret(secret))
        if not found:
            return False
        request.client = found[0]
        return True

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Any, request: Any, *_: Any, **__: Any
    ) -> bool:
        return grant_type == "authorization_code"

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *_: Any, **__: Any
    ) -> bool:
        """Whether the code is good; it is used up by asking, right or wrong."""
        hashed = hash_secret(code)
        with self._db.session() as session:
            row = session.get(OAuthCode, hashed)
            if row is None:
                return False
            session.execute(delete(OAuthCode).where(OAuthCode.hash == hashed))
        if row.client_id != client.id or row.expires <= self._clock.now():
            return False
        if request.code_verifier and not row.code_challenge:
            # The client sent a challenge along, and somebody on the way took it out.
            return False
        request.grant = row
        request.user = row.user_id
        request.scopes = row.scopes
        return True

    def get_code_challenge(self, code: str, request: Any) -> Any:
        return request.grant.code_challenge

    def get_code_challenge_method(self, code: str, request: Any) -> Any:
        return request.grant.code_challenge_method

    def confirm_redirect_uri(
        self,
        client_id: str,
        code: str,
        redirect_uri: str,
        client: Any,
        request: Any,
        *_: Any,
        **__: Any,
    ) -> bool:
        return bool(request.grant.redirect_uri == _relative(redirect_uri))

    def save_bearer_token(self, token: Any, request: Any, *_: Any, **__: Any) -> Any:
        now = self._clock.now()
        grant: OAuthCode = request.grant
        # A server can ask for its user's again and again; the last of them are enough.
        own = (ApiToken.user_id == grant.user_id, ApiToken.oauth_client_id == grant.client_id)
        newest = select(ApiToken.id).where(*own).order_by(ApiToken.id.desc())
        with self._db.session() as session:
            surplus = session.scalars(newest.offset(_TOKENS_OF_ONE - 1)).all()
            if surplus:
                session.execute(delete(ApiToken).where(ApiToken.id.in_(surplus)))
            session.add(
                ApiToken(
                    hash=hash_secret(token["access_token"]),
                    user_id=grant.user_id,
                    oauth_client_id=grant.client_id,
                    session_id=grant.session_id,
                    scopes=grant.scopes,
                    note=f"OAuth for {request.client.description}",
                    created=now,
                    expires=now + timedelta(seconds=TOKEN_SECONDS),
                )
            )
        return None

    def invalidate_authorization_code(
        self, client_id: str, code: str, request: Any, *_: Any, **__: Any
    ) -> None:
        """Nothing left to do: `validate_code` used it up."""

    def _clients(self, name: str, *, secret_hash: str | None = None) -> list[Client]:
        query = (
            select(OAuthClient, User.name, Server.name)
            .outerjoin(Server, Server.id == OAuthClient.server_id)
            .outerjoin(User, User.id == Server.user_id)
            .where(OAuthClient.name == name[:255])
        )
        if secret_hash is not None:
            query = query.where(OAuthClient.secret_hash == secret_hash)
        with self._db.session() as session:
            return [
                Client(
                    id=row.id,
                    client_id=row.name,
                    description=row.description,
                    redirect_uri=row.redirect_uri,
                    allowed_scopes=tuple(row.allowed_scopes),
                    confirm=row.confirm,
                    owner=owner or "",
                    server=server or "",
                    service=row.service or "",
                )
                for row, owner, server in session.execute(query)
            ]


def _uri(query: str) -> str:
    return f"{_NOWHERE}/?{_absolute(query)}"


def _not_there(err: FatalClientError) -> BadRequest:
    why = str(err.description or err.error)
    return BadRequest("cannot log in there", why=why, mend="go back and try again")


def _back_with(err: OAuth2Error) -> Go:
    log.info("authorization refused: %s", err.error)
    return Go(_relative(err.in_uri(err.redirect_uri or _NOWHERE)))


def _absolute(query: str) -> str:
    """A form or query whose redirect URI, if it is a path, is put below a host."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=50
        )
    except ValueError as err:
        raise BadRequest("cannot read the request", why="it is no well-formed query") from err
    return urlencode(
        [(name, _absolute_uri(value) if name == "redirect_uri" else value) for name, value in pairs]
    )


def _absolute_uri(uri: str) -> str:
    return f"{_NOWHERE}{uri}" if uri.startswith("/") else uri


def _relative(uri: str) -> str:
    """Undo `_absolute`."""
    if not uri.startswith(f"{_NOWHERE}/"):
        return uri
    parts = urlsplit(uri)
    return parts._replace(scheme="", netloc="").geturl()
