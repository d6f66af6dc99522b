"""Users and servers as JSON: JupyterHub's fields, and ours below `appliance`.

Which of a user's fields are shown depends on the scopes that the caller holds on that user.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from appliance.access.scopes import Scopes, Target
from appliance.clock import stamp
from appliance.hub.disk_use import Share
from appliance.hub.groups import GroupView
from appliance.hub.server_rows import ServerView
from appliance.hub.tokens import TokenView
from appliance.hub.users import Person

# What each scope on a user adds to the model.
_FIELDS: Final[dict[str, frozenset[str]]] = {
    scope: frozenset(("kind", "name", *names))
    for scope, names in {
        "read:users": (
            "user_info", "admin", "roles", "groups", "server", "pending", "created",
            "last_activity", "appliance",
        ),
        "read:users:name": ("user_info", "admin"),
        "read:users:groups": ("groups",),
        "read:users:activity": ("last_activity",),
        "read:roles:users": ("roles", "admin"),
        "read:servers": ("servers",),
        "admin:auth_state": ("auth_state",),
    }.items()
}  # fmt: skip
READ_USER: Final = tuple(scope for scope in _FIELDS if scope != "admin:auth_state")

_GROUP_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "read:groups": ("kind", "name", "users", "properties"),
    "read:groups:name": ("kind", "name"),
    "read:roles:groups": ("kind", "name", "roles"),
}
READ_GROUP: Final = tuple(_GROUP_FIELDS)


class UserModels:
    """Users as one caller may see them; what needs no look at the user is decided once."""

    def __init__(
        self,
        scopes: Scopes,
        *,
        hub_url: str,
        disk_of: Callable[[str], Share | None],
        include_stopped: bool = False,
    ) -> None:
        self._scopes = scopes
        self._disk_of = disk_of
        self._hub_url = hub_url
        self._include_stopped = include_stopped
        held = {scope: names for scope, names in _FIELDS.items() if scopes.has(scope)}
        self._always = frozenset[str]().union(
            *(names for scope, names in held.items() if scopes.filters(scope) is None)
        )
        self._perhaps = {
            scope: names for scope, names in held.items() if scopes.filters(scope) is not None
        }

    def of(
        self,
        person: Person,
        servers: Sequence[ServerView],
        *,
        groups: frozenset[str],
        roles: list[str],
    ) -> dict[str, Any]:
        """A user, as far as the scopes allow; `servers` begins with the default one, if any."""
        default = servers[0] if servers else None
        disk = self._disk_of(person.name)
        shown = self._servers(servers, groups)
        allowed = self._allowed(Target(user=person.name, groups=groups))
        whole: dict[str, Any] = {
            "kind": "user",
            "name": person.name,
            "user_info": None,
            "admin": person.admin,
            "roles": roles,
            "groups": sorted(groups),
            "server": default.url if default and default.ready else None,
            "pending": default.pending if default else None,
            "created": stamp(person.created),
            "last_activity": stamp(person.last_activity),
            "servers": shown,
            "auth_state": None,
            "appliance": {
                "state": person.state,
                "has_password": person.has_password,
                "full_name": person.full_name,
                "email": person.email,
                "language": person.language,
                "disk": disk.model if disk else None,
            },
        }
        if len(allowed) == len(whole):
            return whole
        return {
            name: value
            for name, value in whole.items()
            if name in allowed or (shown and name == "servers")
        }

    def _allowed(self, target: Target) -> frozenset[str]:
        if not self._perhaps:
            return self._always
        return self._always.union(
            *(names for scope, names in self._perhaps.items() if self._scopes.allows(scope, target))
        )

    def _servers(self, views: Sequence[ServerView], groups: frozenset[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for view in views:
            if not (view.active or self._include_stopped):
                continue
            target = Target(user=view.server.user, server=view.server.name, groups=groups)
            if self._scopes.allows("read:servers", target):
                with_state = self._scopes.allows("admin:server_state", target)
                found[view.server.name] = server_model(
                    view, hub_url=self._hub_url, with_state=with_state
                )
        return found


def server_model(view: ServerView, *, hub_url: str, with_state: bool = False) -> dict[str, Any]:
    """A server; the lines it wrote are not in it."""
    server = view.server
    user, name = quote(server.user, safe="@~"), quote(server.name, safe="@~")
    api = f"{hub_url}api/users/{user}/" + (f"servers/{name}" if name else "server")
    note = view.failure
    model: dict[str, Any] = {
        "name": server.name,
        "display_name": view.display_name or server.name,
        "full_name": f"{server.user}/{server.name}",
        "last_activity": stamp(view.last_activity),
        "started": stamp(view.started),
        "pending": view.pending,
        "ready": view.ready,
        "stopped": not view.active,
        "url": view.url,
        "user_options": view.options,
        "progress_url": f"{api}/progress",
        "full_url": None,
        "full_progress_url": None,
        "appliance": {
            "state": view.state,
            "queue_position": view.queue_position,
            "failure": {"what": note.what, "why": note.why, "mend": note.mend} if note else None,
        },
    }
    if with_state:
        model["state"] = {} if view.active else None
    return model


def token_model(view: TokenView) -> dict[str, Any]:
    """A token; its secret isn't known any more."""
    return {
        "user": view.user,
        "id": view.api_id,
        "kind": "api_token",
        "roles": [],
        "scopes": view.scopes,
        "created": stamp(view.created),
        "last_activity": stamp(view.last_activity),
        "expires_at": stamp(view.expires),
        "note": view.note,
        "session_id": view.session_id,
        "oauth_client": view.oauth_client,
    }


def group_model(group: GroupView, *, scopes: Scopes, roles: list[str]) -> dict[str, Any]:
    """A group, as far as the scopes allow."""
    target = Target(group=group.name)
    whole: dict[str, Any] = {
        "kind": "group",
        "name": group.name,
        "users": group.users,
        "roles": roles,
        "properties": group.properties,
    }
    allowed = {
        name
        for scope, names in _GROUP_FIELDS.items()
        if scopes.allows(scope, target)
        for name in names
    }
    return {name: value for name, value in whole.items() if name in allowed}
