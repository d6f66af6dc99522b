"""A small client of the hub's REST API, for the command line and for tests.

It speaks HTTP over the hub's admin socket, where root is known by the kernel's word and needs no
token, or over the network with a token. It is synchronous: a command does one thing after the
other. Refusals come back as the same family of errors that the hub raised them from.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from appliance.audit import at_the_terminal
from appliance.client.connections import Connect, by_network, by_socket
from appliance.errors import (
    ApplianceError,
    BadRequest,
    Conflict,
    NotAllowed,
    NotFound,
    TooMany,
)
from appliance.names import (
    ServerId,
    ServerName,
    Username,
    parse_server_name,
    parse_username,
)
from appliance.places import Places

_PAGE: Final = 200
_PAGED: Final = "application/jupyterhub-pagination+json"
_TIMEOUT_SECONDS: Final = 30.0
_MEND: Final = "sudo systemctl restart appliance-hub; sudo appliance logs hub"
_MEND_TRIAL: Final = "start the trial again, or look at: appliance logs hub"

_CLASSES: Final[Mapping[int, type[ApplianceError]]] = {
    400: BadRequest,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
}


class HubUnreachable(ApplianceError):
    """Nobody answers at the hub's socket."""


class HubClient:
    """Asks the hub; every method raises HubUnreachable when it doesn't answer."""

    def __init__(
        self,
        connect: Connect,
        *,
        base_url: str = "/",
        token: str = "",
        timeout: float = _TIMEOUT_SECONDS,
        mend: str = _MEND,
        unix_user: str = "",
    ) -> None:
        """`base_url` is the path below which the hub serves; see `of`, `at` and `from_environment`
        for the usual ways to get a client."""
        self._connect = connect
        self._mend = mend
        self._api = f"{base_url}hub/api"
        self._headers = {"Authorization": f"token {token}"} if token else {}
        if unix_user.isascii() and unix_user.isprintable() and unix_user:
            # Whose command it is, for the audit log; the hub believes it of root alone.
            self._headers["X-Appliance-Unix-User"] = unix_user
        self._timeout = timeout

    @classmethod
    def at(cls, url: str, token: str, *, timeout: float = _TIMEOUT_SECONDS) -> HubClient:
        """A client by network: of the appliance's address, or of its `/hub/api`, with an API token.

        Raises BadRequest for what is no http or https URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadRequest(
                f"cannot connect to {url!r}",
                why="it is no URL",
                mend="write it as http://hub.example.org/ or https://hub.example.org/jupyter/",
            )
        path = re.sub(r"/hub(/api)?/*$", "/", parts.path)
        return cls(
            by_network(parts.scheme, parts.hostname, parts.port),
            base_url=f"{path.rstrip('/')}/",
            token=token,
            timeout=timeout,
            mend="look whether the address is right and the appliance runs",
        )

    @classmethod
    def from_environment(cls, *, timeout: float = _TIMEOUT_SECONDS) -> HubClient:
        """For services and notebooks, by their JUPYTERHUB_API_URL and JUPYTERHUB_API_TOKEN;
        raises BadRequest where they are missing."""
        try:
            url, token = os.environ["JUPYTERHUB_API_URL"], os.environ["JUPYTERHUB_API_TOKEN"]
        except KeyError as error:
            raise BadRequest(
                "cannot connect to the hub",
                why=f"the environment has no {error.args[0]}",
                mend="set it, or use HubClient.at(url, token)",
            ) from error
        return cls.at(url, token, timeout=timeout)

    @classmethod
    def of(cls, places: Places, *, timeout: float = _TIMEOUT_SECONDS) -> HubClient:
        """A client of the appliance at those places, by its admin socket."""
        return cls(
            by_socket(places.admin_socket),
            base_url=_base_url(places),
            timeout=timeout,
            mend=_MEND_TRIAL if places.trial else _MEND,
            unix_user=at_the_terminal().unix_user,
        )

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request below /hub/api; returns the JSON of the answer, or None if it has none."""
        content = self._ask(method, path, body, query=query, headers=headers)
        return json.loads(content) if content.strip() else None

    def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        connection = self._connect(self._timeout)
        url = self._api + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        sent = {"Accept": "application/json", "Content-Type": "application/json"}
        try:
            connection.request(method, url, data, {**sent, **self._headers, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        if http.client.MULTIPLE_CHOICES <= answer.status < http.client.BAD_REQUEST:
            raise HubUnreachable(
                "cannot reach the hub's API",
                why=f"the hub does not serve {self._api}: its base URL is another",
                mend="appliance config reload --force",
            )
        if answer.status >= http.client.BAD_REQUEST:
            raise _refusal(answer, content, f"{method} {url}")
        return content

    # Users.

    def user(self, user: Username) -> dict[str, Any]:
        """One user; raises NotFound."""
        return dict(self.request("GET", f"/users/{quote(user)}"))

    def users(self, **query: str) -> Iterator[dict[str, Any]]:
        """Every user, page by page; `state`, `name_filter` and `sort` as in the REST API."""
        return self._pages("/users", query)

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        offset: int | None = 0
        while offset is not None:
            page = self.request(
                "GET",
                path,
                query={**query, "offset": offset, "limit": _PAGE},
                headers={"Accept": _PAGED},
            )
            yield from page["items"]
            following = page["_pagination"]["next"]
            offset = following["offset"] if following else None

    def add_users(
        self, names: Sequence[str], *, admin: bool, generate: bool
    ) -> dict[str, list[dict[str, Any]]]:
        """Make accounts that may log in at once; says which were made and which not, and why."""
        wanted = {"usernames": list(names), "admin": admin, "generate": generate, "approved": True}
        return dict(self.request("POST", "/appliance/users", wanted))

    def approve(self, user: Username) -> None:
        self.request("POST", f"/appliance/users/{quote(user)}/approve", {})

    def lock(self, user: Username) -> None:
        """Keep a user out; sessions, tokens and servers end at once."""
        self.request("PUT", f"/appliance/users/{quote(user)}/lock", {})

    def unlock(self, user: Username) -> None:
        self.request("DELETE", f"/appliance/users/{quote(user)}/lock")

    def set_password(self, user: Username, password: str) -> None:
        self.request("PUT", f"/appliance/users/{quote(user)}/password", {"password": password})

    def generate_password(self, user: Username) -> str:
        """Give the user a new password and return it; nobody can read it again."""
        made = self.request("PUT", f"/appliance/users/{quote(user)}/password", {"generate": True})
        return str(made["password"])

    def set_admin(self, user: Username, *, admin: bool) -> None:
        self.request("PATCH", f"/users/{quote(user)}", {"admin": admin})

    def rename_user(self, user: Username, new: str) -> Username:
        """Give the user another name, and return it as the hub writes it; all else stays."""
        renamed = self.request("PATCH", f"/users/{quote(user)}", {"name": new})
        return Username(str(renamed["name"]))

    def remove_user(self, user: Username) -> None:
        self.request("DELETE", f"/users/{quote(user)}")

    def make_link(self, user: Username) -> dict[str, Any]:
        """A link that lets the user choose a password, once: its path and when it ends."""
        return dict(self.request("POST", f"/appliance/users/{quote(user)}/setup-link", {}))

    # Lists of people; of a class, or with "" of everybody.

    def look_at_roster(self, group: str, data: bytes) -> dict[str, Any]:
        """What would become of each row of a list, as a spreadsheet saved it."""
        wanted = {"data": base64.b64encode(data).decode()}
        return dict(self.request("POST", f"{_roster_path(group)}/preview", wanted))

    def add_people(self, group: str, people: Sequence[Mapping[str, str]]) -> dict[str, Any]:
        """Make accounts, or let those that are there join; says with which passwords."""
        return dict(self.request("POST", _roster_path(group), {"people": list(people)}))

    def roster_file(self, group: str, kind: str) -> bytes:
        """The list as a CSV file."""
        return self._ask("GET", _roster_path(group), query={"for": kind})

    # Tokens and groups.

    def whoami(self) -> dict[str, Any]:
        """Whose token this client has, and what it may do."""
        return dict(self.request("GET", "/user"))

    def tokens(self, user: Username) -> list[dict[str, Any]]:
        return list(self.request("GET", f"/users/{quote(user)}/tokens")["api_tokens"])

    def make_token(
        self,
        user: Username,
        *,
        note: str = "",
        scopes: Sequence[str] | None = None,
        expires_in_seconds: int | None = None,
    ) -> dict[str, Any]:
        """A new API token of the user's; its secret is in `token`, this once."""
        wanted: dict[str, Any] = {"note": note}
        if scopes is not None:
            wanted["scopes"] = list(scopes)
        if expires_in_seconds is not None:
            wanted["expires_in"] = expires_in_seconds
        return dict(self.request("POST", f"/users/{quote(user)}/tokens", wanted))

    def revoke_token(self, user: Username, token_id: str) -> None:
        self.request("DELETE", f"/users/{quote(user)}/tokens/{quote(token_id)}")

    def groups(self) -> Iterator[dict[str, Any]]:
        """Every group, page by page."""
        return self._pages("/groups", {})

    def make_group(self, group: str, users: Sequence[str] = ()) -> dict[str, Any]:
        """A new group of these users; raises Conflict if there is one of that name."""
        return dict(self.request("POST", _group_path(group), {"users": list(users)}))

    def add_to_group(self, group: str, users: Sequence[str]) -> dict[str, Any]:
        return dict(self.request("POST", f"{_group_path(group)}/users", {"users": list(users)}))

    def take_from_group(self, group: str, users: Sequence[str]) -> dict[str, Any]:
        return dict(self.request("DELETE", f"{_group_path(group)}/users", {"users": list(users)}))

    def remove_group(self, group: str) -> None:
        self.request("DELETE", _group_path(group))

    # Servers.

    def servers(self) -> list[dict[str, Any]]:
        """Every server that runs or starts."""
        return list(self.request("GET", "/appliance/servers"))

    def start_server(self, server: ServerId) -> None:
        """Ask for a server; returns when it is ready or the hub goes on starting it."""
        self.request("POST", _server_path(server), {})

    def stop_server(self, server: ServerId) -> None:
        self.request("DELETE", _server_path(server))

    def server_of(self, server: ServerId) -> dict[str, Any] | None:
        """The hub's model of a server that is starting, ready or stopping; None otherwise."""
        model = self.user(server.user).get("servers", {}).get(server.name)
        return dict(model) if model else None

    def progress(self, server: ServerId) -> dict[str, Any]:
        """Wait for the end of a start that is under way; the last event says how it went."""
        connection = self._connect(self._timeout)
        last: dict[str, Any] = {}
        try:
            connection.request(
                "GET", f"{self._api}{_server_path(server)}/progress", headers=self._headers
            )
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                return {}
            for line in answer:
                if line.startswith(b"data:"):
                    last = json.loads(line[5:])
                if last.get("ready") or last.get("failed"):
                    break
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return last

    def log(self, server: ServerId, *, lines: int) -> list[str]:
        """The last lines that a server wrote."""
        path = f"/appliance{_server_path(server)}/log"
        return list(self.request("GET", path, query={"lines": lines})["lines"])

    def status(self) -> dict[str, Any]:
        return dict(self.request("GET", "/appliance/status"))

    def _unreachable(self, error: Exception) -> HubUnreachable:
        what = "cannot reach the hub"
        match error:
            case FileNotFoundError() | ConnectionRefusedError():
                why = "it does not run"
            case PermissionError():
                return HubUnreachable(what, why="only root may", mend="run this with sudo")
            case TimeoutError():
                why = f"it did not answer within {self._timeout:g} seconds"
            case _:
                why = f"the connection broke ({error})"
        return HubUnreachable(what, why=why, mend=self._mend)


def parse_server(text: str) -> ServerId:
    """`ada` is ada's default server, `ada/lab2` a named one."""
    user, _, name = text.partition("/")
    return ServerId(parse_username(user), parse_server_name(name) if name else ServerName(""))


def _server_path(server: ServerId) -> str:
    end = f"servers/{quote(server.name)}" if server.name else "server"
    return f"/users/{quote(server.user)}/{end}"


def _roster_path(group: str) -> str:
    return f"/appliance/classes/{quote(group, safe='')}/roster" if group else "/appliance/roster"


def _group_path(group: str) -> str:
    return f"/groups/{quote(group, safe='')}"


def _base_url(places: Places) -> str:
    """The base URL in force, from the file that has no secrets."""
    try:
        values = json.loads((places.rendered / "spawner.json").read_text("utf-8"))
        return str(values["base_url"])
    except (OSError, ValueError, KeyError):
        return "/"


def _refusal(answer: http.client.HTTPResponse, content: bytes, request: str) -> ApplianceError:
    """The hub's refusal as an error; what isn't the hub's own JSON is shown as it came."""
    try:
        said = json.loads(content)
        what, _, why = str(said.get("message") or answer.reason).partition(": ")
        mend = str(said.get("mend") or "")
    except (ValueError, AttributeError):
        what, why, mend = f"cannot do this: the hub answered {answer.status} to {request}", "", ""
    if answer.status == http.client.TOO_MANY_REQUESTS:
        wait = answer.getheader("Retry-After") or "1"
        seconds = int(wait) if wait.isdigit() else 1
        return TooMany(what, retry_after_seconds=seconds, why=why, mend=mend)
    return _CLASSES.get(answer.status, ApplianceError)(what, why=why, mend=mend)
