"""Classes in the hub's REST API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from appliance.client.hub import HubClient
from appliance.names import Username


class ClassesClient:
    """Asks the hub about classes."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    def all(self) -> list[dict[str, Any]]:
        return list(self._hub.request("GET", "/appliance/classes"))

    def get(self, name: str) -> dict[str, Any]:
        """One class; raises NotFound."""
        return dict(self._hub.request("GET", _path(name)))

    def make(self, title: str, *, name: str = "", teacher: str = "") -> dict[str, Any]:
        """A new class, in `class`; `created` has the teacher's account if that is new."""
        wanted = {"title": title, "name": name, "teacher": teacher}
        return dict(self._hub.request("POST", "/appliance/classes", wanted))

    def change(self, name: str, **values: object) -> dict[str, Any]:
        return dict(self._hub.request("PATCH", _path(name), values))

    def remove(self, name: str) -> None:
        self._hub.request("DELETE", _path(name))

    def add_teacher(self, name: str, user: Username) -> dict[str, Any]:
        return dict(self._hub.request("PUT", f"{_path(name)}/teachers/{quote(user)}", {}))

    def remove_teacher(self, name: str, user: Username) -> None:
        self._hub.request("DELETE", f"{_path(name)}/teachers/{quote(user)}")

    def take_out(self, name: str, users: Sequence[str]) -> list[str]:
        """Those who were in the class and aren't any more."""
        answer = self._hub.request("DELETE", f"{_path(name)}/members", {"users": list(users)})
        return list(answer["taken_out"])

    def invites(self, name: str) -> list[dict[str, Any]]:
        """The class's join codes."""
        return list(self._hub.request("GET", f"{_path(name)}/invites"))

    def invite(self, name: str, *, expires: str, uses: int | None, note: str) -> dict[str, Any]:
        """A new join code."""
        wanted = {"expires": expires, "uses": uses, "note": note}
        return dict(self._hub.request("POST", f"{_path(name)}/invites", wanted))

    def uninvite(self, name: str, number: int) -> None:
        """Take a join code back."""
        self._hub.request("DELETE", f"{_path(name)}/invites/{number}")

    def archive(self, name: str, *, anew: bool) -> int:
        """Begin to put a class into an archive, and return its number."""
        return int(self._hub.request("POST", f"{_path(name)}/archive", {"anew": anew})["archive"])

    def archives(self) -> list[dict[str, Any]]:
        return list(self._hub.request("GET", "/appliance/archives"))

    def get_archive(self, number: int) -> dict[str, Any]:
        return dict(self._hub.request("GET", f"/appliance/archives/{number}"))

    def restore(self, number: int, name: str = "") -> dict[str, Any]:
        """Make a class again; `created` has the new accounts with their passwords."""
        return dict(
            self._hub.request("POST", f"/appliance/archives/{number}/restore", {"name": name})
        )

    def remove_archive(self, number: int) -> None:
        self._hub.request("DELETE", f"/appliance/archives/{number}")


def _path(name: str) -> str:
    return f"/appliance/classes/{quote(name, safe='')}"
