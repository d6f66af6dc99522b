"""What the `server` commands do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from appliance.cli.output import Output, age, size
from appliance.client.hub import HubClient, parse_server
from appliance.errors import ApplianceError
from appliance.names import ServerId, ServerName, Username
from appliance.places import Places

_START_SECONDS: Final = 3600.0
"""The hub has a limit of its own, `servers.start_timeout`, of at most this."""
_STOP_SECONDS: Final = 60.0


def list_servers(places: Places, output: Output) -> None:
    servers = [_server(model) for model in HubClient.of(places).servers()]
    rows = [
        [
            str(_id(server)),
            "ready" if server["ready"] else "starting",
            age(server["started"]),
            age(server["last_activity"]),
            size(server["memory_bytes"]),
            size(server["memory_limit_bytes"]),
            "-" if server["cpu_seconds"] is None else f"{server['cpu_seconds']:.0f}s",
            "-" if server["tasks"] is None else str(server["tasks"]),
        ]
        for server in servers
    ]
    columns = ["server", "state", "started", "last activity", "memory", "limit", "cpu", "tasks"]
    output.table(servers, columns, rows)
    if not servers and not output.as_json:
        output.say("no server runs")


def start(places: Places, output: Output, name: str, *, wait: bool) -> None:
    server, hub = parse_server(name), HubClient.of(places, timeout=_START_SECONDS)
    hub.start_server(server)
    if wait and not _is_ready(hub, server):
        end = hub.progress(server)
        if end.get("failed") or not (end.get("ready") or _is_ready(hub, server)):
            raise ApplianceError(
                f"cannot start the server of '{server}'",
                why=str(end.get("message") or "it ended while it started"),
                mend=f"appliance logs {server}",
            )
    state = "ready" if wait else "starting"
    output.done({"server": str(server), "state": state}, f"{server}: {state}")


def stop(places: Places, output: Output, names: Sequence[str]) -> None:
    hub = HubClient.of(places)
    servers = [parse_server(name) for name in names] or [
        _id(_server(model)) for model in hub.servers()
    ]
    for server in servers:
        hub.stop_server(server)
    until = time.monotonic() + _STOP_SECONDS
    for server in servers:
        while hub.server_of(server) is not None:
            if time.monotonic() > until:
                raise ApplianceError(
                    f"cannot stop the server of '{server}'",
                    why=f"it still runs after {_STOP_SECONDS:.0f} seconds",
                    mend="appliance logs spawner",
                )
            time.sleep(0.2)
    text = "\n".join(f"{server}: stopped" for server in servers) or "no server runs"
    output.done({"stopped": [str(server) for server in servers]}, text)


def _server(model: dict[str, Any]) -> dict[str, Any]:
    """A server in the shape that docs/cli.md promises."""
    names = (
        "user server ready started last_activity memory_bytes memory_limit_bytes cpu_seconds tasks"
    )
    return {name: model.get(name) for name in names.split()}


def _id(server: dict[str, Any]) -> ServerId:
    return ServerId(Username(server["user"]), ServerName(server["server"] or ""))


def _is_ready(hub: HubClient, server: ServerId) -> bool:
    model = hub.server_of(server)
    return bool(model and model.get("ready"))
