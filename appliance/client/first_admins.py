"""Making the first admins, through the hub's socket for root: no password is known to anybody but
them.

Each gets a one-time link with which they choose a password in the browser. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from appliance.errors import ApplianceError

_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class SetupLink:
    """A one-time link for an admin without a password; `path` begins with the base URL."""

    name: str
    path: str
    expires_at: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_SECONDS)
        self.sock.connect(str(self._path))


class FirstAdmins:
    """Makes admins at a hub; whoever is one already keeps everything."""

    def __init__(self, admin_socket: Path, *, base_url: str) -> None:
        self._socket = admin_socket
        self._base_url = base_url

    def count(self) -> int:
        """How many admins the hub knows."""
        return int(self._call("GET", "appliance/status")["users"]["admins"])

    def ensure(self, names: Iterable[str]) -> list[SetupLink]:
        """Make each name an admin; links for those who have no password yet."""
        links = [self._ensure(name) for name in names]
        return [link for link in links if link]

    def _ensure(self, name: str) -> SetupLink | None:
        user = f"users/{quote(name, safe='@')}"
        wanted = {"usernames": [name], "admin": True, "generate": False, "approved": True}
        made = self._call("POST", "appliance/users", wanted)
        found = self._call("GET", user)
        if not found:
            why = "; ".join(skipped["why"] for skipped in made.get("skipped", []))
            raise ApplianceError(f"cannot make {name!r} an admin", why=why)
        about = found.get("appliance", {})
        if not found.get("admin"):
            self._call("PATCH", user, {"admin": True})
        if about.get("state") == "waiting":
            self._call("POST", f"appliance/{user}/approve")
        if about.get("has_password"):
            return None
        link = self._call("POST", f"appliance/{user}/setup-link")
        return SetupLink(
            name,
            self._base_url.rstrip("/") + _below(link["path"], self._base_url),
            link["expires_at"],
        )

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer; {} for what doesn't exist."""
        connection = _UnixConnection(self._socket)
        url = f"{self._base_url}hub/api/{path}"
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json"}
            connection.request(method, url, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as err:
            raise ApplianceError("cannot talk to the hub", why=f"{self._socket}: {err}") from err
        finally:
            connection.close()
        if answer.status == http.client.NOT_FOUND:
            return {}
        if answer.status >= http.client.BAD_REQUEST:
            raise ApplianceError(
                f"the hub refused {method} {url}", why=_message(answer.status, text)
            )
        found = json.loads(text) if text else {}
        return found if isinstance(found, dict) else {}


def _below(path: str, base_url: str) -> str:
    """The path without the base URL, whether or not the hub put it there."""
    return path[len(base_url) - 1 :] if base_url != "/" and path.startswith(base_url) else path


def _message(status: int, text: bytes) -> str:
    try:
        said = json.loads(text)
        return f"{status} {said.get('message', '')} {said.get('mend', '')}".strip()
    except (ValueError, AttributeError):
        return str(status)
