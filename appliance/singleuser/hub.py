"""The hub's API, reached over a unix socket: who a token is, codes for tokens, activity.

The rule about failures: only the hub's word that it doesn't know a token counts as "nobody".
Anything else (refused, slow, 5xx) is HubUnavailableError, is never remembered, and never logs
anybody out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from .settings import FRESH_SECONDS, STALE_SECONDS, Settings

NEGATIVE_SECONDS: Final = 10
REMEMBERED_TOKENS: Final = 500
# The hub issues 64 characters; what is longer isn't worth a request.
TOKEN_MAX: Final = 256

log = logging.getLogger("appliance.singleuser")


class HubUnavailableError(Exception):
    """The hub gave no answer, or one that means "not now"."""


class HubRefusedError(Exception):
    """The hub said no; the message is its own."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who holds a token, and what it may do."""

    name: str
    display_name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Answer:
    person: Person | None
    at: float


class _UnixResolver(Resolver):
    """Sends every host name to one unix socket."""

    def initialize(self, path: str) -> None:
        self._path = path

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, self._path)]


class Hub:
    """A client of the hub with a short memory."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._asking: dict[str, asyncio.Task[Person | None]] = {}
        self._client: SimpleAsyncHTTPClient | None = None

    async def find_person(self, token: str, *, max_age: float = FRESH_SECONDS) -> Person | None:
        """Whose token it is, from memory or from the hub; None if the hub doesn't know it."""
        if not token or len(token) > TOKEN_MAX:
            return None
        answer = self._answers.get(token)
        age = self._clock() - answer.at if answer else 0.0
        if answer and age < (max_age if answer.person else min(max_age, NEGATIVE_SECONDS)):
            return answer.person
        try:
            return await self._ask_once(token)
        except HubUnavailableError:
            if answer and answer.person and age < STALE_SECONDS:
                return answer.person
            raise

    async def exchange(self, code: str, *, verifier: str) -> str:
        """Turn an OAuth code into an access token, or raise HubRefusedError with its reason."""
        form = {
            "grant_type": "authorization_code",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.token,
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": self._settings.callback_path,
        }
        response = await self._fetch("oauth2/token", method="POST", body=urlencode(form))
        reply = _json_object(response)
        if response.code != 200:
            reason = reply.get("error_description") or reply.get("error") or f"HTTP {response.code}"
            raise HubRefusedError(str(reason))
        return str(reply.get("access_token", ""))

    async def post_activity(self, last_activity: str) -> None:
        """Report when the server was last used; raises HubUnavailableError or HubRefusedError."""
        body = {
            "servers": {self._settings.server: {"last_activity": last_activity}},
            "last_activity": last_activity,
        }
        response = await self._fetch(
            self._settings.activity_path,
            token=self._settings.token,
            method="POST",
            body=json.dumps(body),
        )
        if response.code >= 300:
            raise HubRefusedError(f"HTTP {response.code}")

    async def post_out_of_memory(self, notebook: str, *, by_machine: bool) -> None:
        """Say that Linux stopped something here; raises HubUnavailableError or HubRefusedError."""
        body = {"server": self._settings.server, "notebook": notebook, "by_machine": by_machine}
        response = await self._fetch(
            f"appliance/users/{quote(self._settings.user, safe='@')}/out-of-memory",
            token=self._settings.token,
            method="POST",
            body=json.dumps(body),
        )
        if response.code >= 300:
            raise HubRefusedError(f"HTTP {response.code}")

    def forget(self, token: str) -> None:
        """Ask anew at the token's next use."""
        self._answers.pop(token, None)

    async def _ask_once(self, token: str) -> Person | None:
        """Let all requests that come with one token (a page of Lab is 20) share one question."""
        task = self._asking.get(token)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._ask(token))
            self._asking[token] = task
            task.add_done_callback(lambda _: self._asking.pop(token, None))
        return await asyncio.shield(task)

    async def _ask(self, token: str) -> Person | None:
        response = await self._fetch("user", token=token)
        person = None
        if response.code == 200:
            person = _person(_json_object(response))
        elif response.code not in {401, 403, 404}:
            raise HubUnavailableError(f"the hub answered HTTP {response.code}")
        while len(self._answers) >= REMEMBERED_TOKENS:
            self._answers.pop(next(iter(self._answers)))
        self._answers.pop(token, None)
        self._answers[token] = _Answer(person, self._clock())
        return person

    async def _fetch(self, path: str, *, token: str = "", **options: Any) -> HTTPResponse:
        if not path.startswith("/"):
            path = f"{self._settings.api_path}/{path}"
        headers = {"Authorization": f"token {token}"} if token else {}
        if options.get("body", "").startswith("{"):
            headers["Content-Type"] = "application/json"
        request = HTTPRequest(
            f"http://localhost{path}",
            headers=headers,
            connect_timeout=10,
            request_timeout=20,
            follow_redirects=False,
            **options,
        )
        try:
            response = await self._http().fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as err:
            raise HubUnavailableError(f"the hub cannot be reached: {err}") from err
        # 599 is tornado's own for "no answer"; 502 to 504 are the proxy's and the hub's "not now".
        if response.code >= 500:
            raise HubUnavailableError(f"the hub answered HTTP {response.code}")
        return response

    def _http(self) -> SimpleAsyncHTTPClient:
        """Made at the first use, because a client belongs to the loop that runs then."""
        if self._client is None:
            self._client = SimpleAsyncHTTPClient(
                force_instance=True,
                max_clients=20,
                resolver=_UnixResolver(path=self._settings.api_socket),
            )
        return self._client


def _json_object(response: HTTPResponse) -> dict[str, Any]:
    try:
        value = json.loads(response.body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _person(model: dict[str, Any]) -> Person:
    name = str(model.get("name", ""))
    scopes = model.get("scopes", [])
    if not name or not isinstance(scopes, list):
        raise HubUnavailableError("the hub's answer names no user")
    return Person(name, name, frozenset(str(scope) for scope in scopes))


def may_use(person: Person, access_scopes: frozenset[str]) -> bool:
    """Whether the person's scopes open this server; an unfiltered scope opens all of its kind."""
    unfiltered = {scope.partition("!")[0] for scope in access_scopes}
    return not person.scopes.isdisjoint(access_scopes | unfiltered)
