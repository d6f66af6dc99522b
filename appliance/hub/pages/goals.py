"""Which server an address means, and the addresses of pages about it."""

from __future__ import annotations

from urllib.parse import quote

from appliance.errors import BadRequest, NotFound
from appliance.names import ServerId, parse_server_name, parse_username


def parse_server(user: str, name: str | None) -> ServerId:
    """The server that a path names; raises NotFound for what can't be a name."""
    try:
        return ServerId(parse_username(user), parse_server_name(name or ""))
    except BadRequest as error:
        raise NotFound("cannot find this server", why=error.why) from error


def server_path(server: ServerId) -> str:
    """The server's part of the paths of its pages."""
    user = quote(server.user, safe="@")
    return f"{user}/{server.name}" if server.name else user


def spawn_path(server: ServerId, goal: str = "") -> str:
    """Below /hub/: the page that starts it and then goes on to the goal."""
    return f"spawn/{server_path(server)}{_next(goal)}"


def pending_path(server: ServerId, goal: str = "") -> str:
    """Below /hub/: the page that shows how its start gets on."""
    return f"spawn-pending/{server_path(server)}{_next(goal)}"


def progress_path(server: ServerId) -> str:
    """Below /hub/: the stream of events of its start."""
    user = quote(server.user, safe="@")
    return f"api/users/{user}/{f'servers/{server.name}' if server.name else 'server'}/progress"


def _next(goal: str) -> str:
    return f"?next={quote(goal, safe='')}" if goal else ""
