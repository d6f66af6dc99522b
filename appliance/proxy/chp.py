"""configurable-http-proxy's REST API: read its table of routes, add to it, delete from it.

A connection that fails and an answer of 500 or more are tried again for half a minute, because the
proxy may just be restarting; what it refuses is told at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from tornado.httpclient import HTTPClientError, HTTPRequest, HTTPResponse
from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from appliance.config.schema import Config
from appliance.errors import BadRequest, ProxyError

_SOCKET: Final = "http+unix"
TAG: Final = "jupyterhub"
"""What marks a route as a hub's; routes without it are somebody else's."""
RETRY_SECONDS: Final = 30.0
_AT_ONCE: Final = 10
_REQUEST_SECONDS: Final = 10.0
# `appliance status` waits for it.
_PROBE_SECONDS: Final = 2.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_MEND: Final = "is configurable-http-proxy running, and are proxy.api_url and proxy.api_token its?"


class ProxyAway(ProxyError):
    """It does not answer, or says that it failed; later it may."""


@dataclass(frozen=True, slots=True)
class ChpRoute:
    """A route as the proxy has it; the path has a slash at both ends."""

    path: str
    target: str
    data: dict[str, Any]
    """Without the tag, the target and the stamp."""
    last_activity: datetime | None
    ours: bool


def own_target(config: Config) -> str:
    """Where it finds our nginx, which knows all further ways: every route leads there."""
    address, port = config.http.address, config.http.port
    if address in {"", "0.0.0.0"}:  # noqa: S104 - compared, bound nowhere
        address = "127.0.0.1"
    elif address == "::":
        address = "::1"
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def check_api_url(url: str) -> str:
    """Return it without a slash at its end; raise BadRequest if it is no address for http."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https", _SOCKET} and bool(parts.hostname)
        good = known and (parts.scheme == _SOCKET or parts.port != 0)
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url or parts.query or parts.fragment:
        raise BadRequest(
            f"cannot use {url[:200]!r} as the address of the proxy's API",
            why='it is not an address such as "http://127.0.0.1:8001"',
        )
    return url.rstrip("/")


class _OneSocket(Resolver):
    """Finds a Unix socket behind every name."""

    def initialize(self, path: str) -> None:
        self._path = path

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        del host, port, family
        return [(socket.AF_UNIX, self._path)]


def check_api_token(token: str | None) -> str | None:
    """Return it; raise BadRequest if it can't be sent in a header."""
    if token is not None and not re.fullmatch(r"[!-~]{1,1024}", token):
        raise BadRequest(
            "cannot use this as the token of the proxy's API",
            why="it is empty or too long, or has blanks or other than ASCII characters",
        )
    return token


class ChpClient:
    """One configurable-http-proxy."""

    def __init__(self, api_url: str, api_token: str | None) -> None:
        self.api_url = check_api_url(api_url)
        self.api_token = check_api_token(api_token)
        scheme, _, rest = self.api_url.partition("://")
        self._socket = unquote(rest) if scheme == _SOCKET else ""
        self._base = "http://localhost" if self._socket else self.api_url
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def routes(self, *, retry: bool = True) -> dict[str, ChpRoute]:
        """Its whole table, by path; without `retry` it has two seconds and one attempt."""
        answer = await self._request("GET", "", retry=retry)
        try:
            table = json.loads(answer.body)
            routes = [_route(path, data) for path, data in table.items()]
        except (ValueError, AttributeError, TypeError, KeyError) as err:
            raise self._error("its answer is not a table of routes") from err
        return {route.path: route for route in routes}

    async def add(self, path: str, target: str, data: dict[str, Any]) -> None:
        """Add a route, or put it in the place of the one with this path."""
        await self._request("POST", path, {**data, "target": target, TAG: True})

    async def remove(self, path: str) -> None:
        """Delete a route; that there is none is no error."""
        await self._request("DELETE", path)

    async def is_open(self) -> bool:
        """Whether it takes anybody's orders: it was started without a token of its own."""
        if self._socket:
            return False  # who may open it is not for everybody to say
        try:
            answer = await self._send("GET", "", None, token=None, seconds=_PROBE_SECONDS)
        except ProxyError:
            return False
        return answer.code == 200

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, retry: bool = True
    ) -> HTTPResponse:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (RETRY_SECONDS if retry else 0)
        seconds = _REQUEST_SECONDS if retry else _PROBE_SECONDS
        pause = _FIRST_PAUSE
        while True:
            try:
                async with self._turns:
                    answer = await self._send(
                        method, path, body, token=self.api_token, seconds=seconds
                    )
                return self._accept(method, answer)
            except ProxyAway:
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        *,
        token: str | None,
        seconds: float,
    ) -> HTTPResponse:
        # A client each: it holds no connection afterwards, and makes nobody wait for another.
        client = SimpleAsyncHTTPClient(
            force_instance=True, resolver=_OneSocket(self._socket) if self._socket else None
        )
        try:
            return await client.fetch(
                HTTPRequest(
                    f"{self._base}/api/routes{quote(path, safe='/@~')}",
                    method=method,
                    headers={"Authorization": f"token {token}"} if token else {},
                    body=None if body is None else json.dumps(body),
                    connect_timeout=seconds,
                    request_timeout=seconds,
                    # A redirect would take the token somewhere else.
                    follow_redirects=False,
                ),
                raise_error=False,
            )
        except (HTTPClientError, OSError) as err:
            raise self._away(_reason(err)) from err
        except ValueError as err:
            raise self._error(f"the request can't be made ({err})") from err
        finally:
            client.close()

    def _accept(self, method: str, answer: HTTPResponse) -> HTTPResponse:
        code = answer.code
        if code >= 500:
            raise self._away(f"it answers {code}")
        if code in {401, 403}:
            raise self._error(
                "it refuses the token",
                mend="set proxy.api_token to what its CONFIGPROXY_AUTH_TOKEN is",
            )
        if not (200 <= code < 300 or (method == "DELETE" and code == 404)):
            text = answer.body[:200].decode("utf-8", "replace").strip()
            raise self._error(f"it answers {code}" + (f" ({text})" if text else ""))
        return answer

    def _away(self, why: str) -> ProxyAway:
        return ProxyAway(self._what, why=why, mend=_MEND)

    def _error(self, why: str, *, mend: str = _MEND) -> ProxyError:
        return ProxyError(self._what, why=why, mend=mend)

    @property
    def _what(self) -> str:
        return f"cannot use configurable-http-proxy's API at {self.api_url}"


def _route(path: str, data: dict[str, Any]) -> ChpRoute:
    known = {"target", "last_activity", TAG}
    return ChpRoute(
        path=f"{path.rstrip('/')}/",
        target=str(data["target"]),
        data={key: value for key, value in data.items() if key not in known},
        last_activity=_moment(data.get("last_activity")),
        ours=bool(data.get(TAG)),
    )


def _moment(text: object) -> datetime | None:
    """A stamp; one without a zone is in this machine's own, as Python writes it."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _reason(err: Exception) -> str:
    number = getattr(err, "errno", None)
    text = os.strerror(number) if isinstance(number, int) and number > 0 else str(err)
    return f"it does not answer ({text.lower()})"
