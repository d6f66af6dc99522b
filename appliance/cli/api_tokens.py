"""What `appliance token …` does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance.cli.errors import UsageError
from appliance.cli.output import Output, age, stamp
from appliance.client.hub import HubClient
from appliance.config.kinds import parse_duration
from appliance.names import parse_username
from appliance.places import Places


def add(
    places: Places, output: Output, name: str, *, note: str, expires: str, scopes: Sequence[str]
) -> None:
    seconds = parse_duration(expires) if expires else None
    if seconds is not None and not isinstance(seconds, int):
        raise UsageError(
            f"cannot make a token that lasts {expires!r}",
            why="it must be a time such as 90s, 10m, 12h or 30d",
            mend="leave --expires out for one that stays",
        )
    made = HubClient.of(places).make_token(
        parse_username(name),
        note=note or "made by root",
        scopes=scopes or None,
        expires_in_seconds=seconds,
    )
    output.data({**_token(made), "token": made["token"]}, made["token"])


def list_tokens(places: Places, output: Output, name: str) -> None:
    found = [_token(model) for model in HubClient.of(places).tokens(parse_username(name))]
    rows = [
        [
            one["id"],
            one["note"],
            age(one["created"]),
            age(one["last_activity"]),
            stamp(one["expires_at"]) if one["expires_at"] else "never",
        ]
        for one in found
    ]
    output.table(found, ["id", "note", "made", "used", "expires"], rows)
    if not found:
        output.say(f"{name} has no tokens")


def revoke(places: Places, output: Output, name: str, ids: Sequence[str]) -> None:
    hub, user = HubClient.of(places), parse_username(name)
    for token_id in ids:
        hub.revoke_token(user, token_id)
    output.done({"revoked": list(ids)}, f"{', '.join(ids)}: revoked")


def _token(model: dict[str, Any]) -> dict[str, Any]:
    """A token in the shape that docs/cli.md promises."""
    names = ("id", "note", "scopes", "created", "last_activity", "expires_at")
    return {name: model.get(name) for name in names}
