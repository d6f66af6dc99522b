"""What the commands for join codes do: they ask the hub, which decides."""

from __future__ import annotations

from appliance.cli.output import Output, stamp
from appliance.client.classes import ClassesClient
from appliance.client.hub import HubClient
from appliance.config.rendered import read_rendered
from appliance.places import Places
from appliance.rollout.addresses import root_urls
from appliance.rollout.render import SPAWNER_FILE


def _classes(places: Places) -> ClassesClient:
    return ClassesClient(HubClient.of(places))


def invite(
    places: Places, output: Output, name: str, *, expires: str, uses: int | None, note: str
) -> None:
    hub = HubClient.of(places)
    made = ClassesClient(hub).invite(name, expires=expires, uses=uses, note=note)
    config = read_rendered(places.rendered / SPAWNER_FILE)
    link = f"{root_urls(config, places)[0]}{config.base_url}hub/join/{made['code']}"
    output.data({**made, "url": link}, f"{made['code']}\n{link}")
    until = f"until {stamp(made['expires_at'])}" if made["expires_at"] else "until it is taken back"
    output.say(f"{name}: whoever brings it joins, {until}")


def list_invites(places: Places, output: Output, name: str) -> None:
    found = _classes(places).invites(name)
    rows = [
        [
            str(one["id"]),
            one["code"] or "",
            f"{one['uses']} of {one['most_uses']}" if one["most_uses"] else str(one["uses"]),
            stamp(one["expires_at"]) if one["expires_at"] else "never",
            "yes" if one["works"] else "no",
            one["created_by"],
            one["note"],
        ]
        for one in found
    ]
    output.table(found, ["number", "code", "used", "ends", "works", "by", "note"], rows)


def uninvite(places: Places, output: Output, name: str, number: int) -> None:
    _classes(places).uninvite(name, number)
    output.done({"removed": number}, f"{number}: taken back")
