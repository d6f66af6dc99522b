"""What the commands that say something do: they ask the hub, which decides."""

from __future__ import annotations

import sys
from typing import Final
from urllib.parse import quote

from appliance.cli.output import Output
from appliance.client.hub import HubClient
from appliance.names import parse_username
from appliance.places import Places

_STANDARD_INPUT: Final = "-"
# Longer ones are refused by the hub, which says so.
_READ_CHARACTERS: Final = 10_000


def say(
    places: Places, output: Output, text: str, *, hours: int, group: str = "", user: str = ""
) -> None:
    """To a class, to a user, or with neither to everybody."""
    if text == _STANDARD_INPUT:
        text = sys.stdin.read(_READ_CHARACTERS)
    path = "/appliance/messages"
    if group:
        path = f"/appliance/classes/{quote(group, safe='')}/messages"
    elif user:
        user = parse_username(user)
        path = f"/appliance/users/{quote(user, safe='')}/messages"
    HubClient.of(places).request("POST", path, {"text": text, "hours": hours})
    whom = f"the class {group}" if group else user or "everybody"
    output.done({"to": group or user or None, "hours": hours}, f"said to {whom}")
