"""Who sends a request: the hub's OAuth log-in kept in a cookie, or a token of the hub's API.

The cookie holds an access token that the hub issued to this browser's session; the hub revokes it
at log-out, so a server never decides by itself that somebody is still logged in.

All servers and the hub share one origin, so a page of another server can send requests here with
the visitor's cookies. Against that: cookies are scoped to the server's path, pages may not be
framed, and a request that a script makes must carry the XSRF token even when it only reads.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
import time
import weakref
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.websocket import WebSocketHandler
from traitlets import Bool, Unicode

from .handlers import CallbackHandler, LoginHandler, LogoutHandler
from .hub import Hub, HubUnavailableError, Person, may_use
from .polls import Polls
from .settings import FRESH_SECONDS, Settings

STATE_SECONDS: Final = 600
OPEN_LOGINS: Final = 200
# A websocket is opened seldom and lives long, so it is checked against a nearly fresh answer.
WEBSOCKET_FRESH_SECONDS: Final = 5
# The owner may end a visitor's rights at any time, and it works at once.
VISITOR_FRESH_SECONDS: Final = 5
# Open websockets are closed at most this long after their session's end.
SESSION_CHECK_SECONDS: Final = 30
# Close code of RFC 6455 for a violated policy.
POLICY_VIOLATION: Final = 1008

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """What must be remembered between sending a browser to the hub and its return."""

    next_url: str
    verifier: str
    started: float

    @property
    def challenge(self) -> str:
        """The PKCE challenge (S256) of the verifier."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class HubIdentityProvider(IdentityProvider):  # type: ignore[misc]
    """jupyter_server's identity provider, deferring to the hub."""

    # No token or password of jupyter_server's own opens the server, whatever a config file says.
    token = Unicode("", config=False)
    need_token = Bool(default_value=False)
    login_handler_class = LoginHandler
    logout_handler_class = LogoutHandler

    _auth_header: Final = re.compile(r"(?:token|bearer)\s+(\S+)", re.IGNORECASE)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.appliance: Settings = self.parent.appliance
        self.hub: Hub = self.parent.hub
        self.pending: dict[str, PendingLogin] = {}
        self.visitors: set[str] = set()
        """Tokens of others than the owner who have a websocket open."""
        self._visitor_came = asyncio.Event()
        self._polls = Polls()
        self._websockets: weakref.WeakKeyDictionary[WebSocketHandler, str] = (
            weakref.WeakKeyDictionary()
        )

    def get_handlers(self) -> list[tuple[str, object]]:
        return [
            (r"/login", LoginHandler),
            (r"/logout", LogoutHandler),
            (r"/oauth_callback", CallbackHandler),
        ]

    async def get_user(self, handler: web.RequestHandler) -> User | None:
        """The user of a request, or None; decides for all of jupyter_server and its extensions."""
        known = getattr(handler, "_jupyter_current_user", None)
        if known is not None:
            return known
        token = self._explicit_token(handler)
        explicit = bool(token)
        refused = ""
        if not token:
            token = self.token_in_cookie(handler)
            refused = _why_refused(handler) if token else ""
        person = await self._find_allowed(handler, token) if token and not refused else None
        if person is None:
            self._prepare_login(handler, refused)
            return None
        # jupyter_server skips its XSRF and origin checks for what carries an explicit token.
        handler._token_authenticated = explicit  # type: ignore[attr-defined]  # noqa: SLF001
        if isinstance(handler, WebSocketHandler):
            self._websockets[handler] = token
            if person.name != self.appliance.user:
                self.visitors.add(token)
                self._visitor_came.set()
        self._polls.look_at(handler)
        return User(username=person.name, name=person.name, display_name=person.display_name)

    async def _find_allowed(self, handler: web.RequestHandler, token: str) -> Person | None:
        is_websocket = isinstance(handler, WebSocketHandler)
        max_age = WEBSOCKET_FRESH_SECONDS if is_websocket else FRESH_SECONDS
        try:
            person = await self.hub.find_person(token, max_age=max_age)
            if person and person.name != self.appliance.user:
                person = await self.hub.find_person(token, max_age=VISITOR_FRESH_SECONDS)
        except HubUnavailableError as err:
            self.log.warning("cannot check who sends %s: %s", handler.request.path, err)
            # Not 503: JupyterLab takes that for "your server is gone".
            raise web.HTTPError(502, "the hub does not answer; try again in a moment") from err
        if person and not may_use(person, self.appliance.access_scopes):
            self.log.warning("user %r may not use this server", person.name)
            return None
        return person

    def _explicit_token(self, handler: web.RequestHandler) -> str:
        """A token in the Authorization header, or in the URL of a websocket (it has no headers)."""
        match = self._auth_header.fullmatch(
            handler.request.headers.get("Authorization", "").strip()
        )
        if match:
            return match[1]
        # A link with a token in it would log its reader in as somebody else.
        if isinstance(handler, WebSocketHandler):
            return str(handler.get_query_argument("token", ""))
        return ""

    def token_in_cookie(self, handler: web.RequestHandler) -> str:
        value = handler.get_signed_cookie(self.appliance.cookie_name)
        return value.decode("ascii", "replace") if value else ""

    def keep_token(self, handler: web.RequestHandler, token: str) -> None:
        """Log the browser in: until it is closed, or the hub revokes the token."""
        handler.set_signed_cookie(
            self.appliance.cookie_name, token, expires_days=None, **self._cookie_options(handler)
        )

    def clear_login_cookie(self, handler: web.RequestHandler) -> None:
        handler.clear_cookie(self.appliance.cookie_name, path=self.appliance.prefix)

    def _cookie_options(self, handler: web.RequestHandler) -> dict[str, Any]:
        return {
            "path": self.appliance.prefix,
            "httponly": True,
            "samesite": "Lax",
            "secure": handler.request.protocol == "https",
        }

    def begin_login(self, handler: web.RequestHandler, next_url: str) -> str:
        """Remember a log-in in a cookie of its own; return the hub's address that continues it."""
        if not next_url.startswith(self.appliance.prefix):
            next_url = self.appliance.prefix
        while len(self.pending) >= OPEN_LOGINS:
            self.pending.pop(next(iter(self.pending)))
        state = secrets.token_urlsafe(24)
        login = PendingLogin(next_url, secrets.token_urlsafe(48), time.monotonic())
        self.pending[state] = login
        name = self._state_cookie
        # A second tab that logs in at the same time gets a second cookie, as in JupyterHub.
        if name in handler.cookies:
            name = (
                f"{name}-{''.join(secrets.choice('abcdefghijklmnopqrstuvwxyz') for _ in range(8))}"
            )
        handler.set_signed_cookie(
            name, state, expires_days=None, max_age=STATE_SECONDS, **self._cookie_options(handler)
        )
        query = {
            "client_id": self.appliance.client_id,
            "redirect_uri": self.appliance.callback_path,
            "response_type": "code",
            "code_challenge": login.challenge,
            "code_challenge_method": "S256",
            "state": state,
        }
        return f"{self.hub_address}api/oauth2/authorize?{urlencode(query)}"

    @property
    def hub_address(self) -> str:
        """Where browsers find the hub."""
        return f"{self.appliance.hub_host}{self.appliance.hub_prefix}"

    def end_login(self, handler: web.RequestHandler, state: str) -> PendingLogin | None:
        """The log-in that this browser began under `state`, once; None for anybody else's."""
        login = None
        for name in list(handler.cookies):
            if name != self._state_cookie and not name.startswith(f"{self._state_cookie}-"):
                continue
            value = handler.get_signed_cookie(name, max_age_days=STATE_SECONDS / 86400)
            if value is not None and secrets.compare_digest(value, state.encode()):
                login = self.pending.pop(state, None)
                handler.clear_cookie(name, path=self.appliance.prefix)
        if login and time.monotonic() - login.started > STATE_SECONDS:
            return None
        return login

    @property
    def _state_cookie(self) -> str:
        return f"{self.appliance.cookie_name}-oauth-state"

    def _prepare_login(self, handler: web.RequestHandler, refused: str) -> None:
        """Let jupyter_server send a page's visitor to the hub, and answer 403 to everybody else."""

        def login_url() -> str:
            mode = handler.request.headers.get("Sec-Fetch-Mode", "navigate")
            if refused or mode != "navigate" or isinstance(handler, APIHandler):
                # tornado logs an error's text with the whole address: say no more than needed.
                raise web.HTTPError(403, refused or None)
            return self.begin_login(handler, handler.request.uri or "")

        handler.get_login_url = login_url  # type: ignore[method-assign]

    async def wait_before_check(self) -> None:
        """Until the open connections are to be looked at again: soon, while there are visitors."""
        seconds = VISITOR_FRESH_SECONDS if self.visitors else SESSION_CHECK_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._visitor_came.wait()
        self._visitor_came.clear()

    async def close_revoked_websockets(self) -> None:
        """End the open connections of sessions that the hub has ended."""
        self.visitors &= set(self._websockets.values())
        for handler, token in list(self._websockets.items()):
            if handler.ws_connection is None:
                self._websockets.pop(handler, None)
                continue
            max_age = VISITOR_FRESH_SECONDS if token in self.visitors else SESSION_CHECK_SECONDS / 2
            try:
                person = await self.hub.find_person(token, max_age=max_age)
            except HubUnavailableError:
                return
            if person is None or not may_use(person, self.appliance.access_scopes):
                self.log.info("closing a connection whose session has ended")
                handler.close(POLICY_VIOLATION, "logged out")


def _why_refused(handler: web.RequestHandler) -> str:
    """Why a request with a valid cookie is still nobody's; Sec-Fetch-* tells who sent it."""
    mode = handler.request.headers.get("Sec-Fetch-Mode", "")
    if handler.request.method in SAFE_METHODS:
        if mode in {"", "navigate", "websocket"}:
            return ""
        # Images and script elements; their answers stay unreadable for the page that includes them.
        if mode == "no-cors" and handler.request.headers.get("Sec-Fetch-Site") != "cross-site":
            return ""
    try:
        web.RequestHandler.check_xsrf_cookie(handler)
    except web.HTTPError as err:
        return err.log_message or "the XSRF token is missing"
    return ""
