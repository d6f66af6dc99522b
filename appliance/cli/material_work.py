"""What the `class` commands about materials do: they ask the hub, and wait until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from appliance.cli.output import Output, age, count
from appliance.client.hub import HubClient
from appliance.client.materials import MaterialsClient
from appliance.places import Places

_SECONDS: Final = 120.0
_LOOK_EACH_SECONDS: Final = 1.0


def _materials(places: Places) -> MaterialsClient:
    return MaterialsClient(HubClient.of(places, timeout=_SECONDS))


def show(places: Places, output: Output, name: str) -> None:
    found = _materials(places).all(name)
    rows = [
        ["handed out", one["folder"], age(one["created"]), str(one["done"]), *_left(one), ""]
        for one in found["handouts"]
    ]
    rows += [
        ["collected", one["folder"], age(one["created"]), str(one["collected"]), *_left(one),
         one["place"]]
        for one in found["collections"]
    ]  # fmt: skip
    output.table(found, ["what", "folder", "when", "done", "waiting", "failed", "place"], rows)


def hand_out(
    places: Places, output: Output, name: str, folder: str, *, rule: str, latecomers: bool
) -> int:
    """Returns for how many it failed."""
    client = _materials(places)
    made = client.hand_out(name, folder, rule=rule, latecomers=latecomers)
    found = _followed(output, lambda: client.handout(name, made["id"]), "done")
    lines = [f"{made['folder']}: {count(found['done'], 'student has', 'students have')} it"]
    output.done(found, "\n".join([*lines, *_failures(found)]))
    return int(found["failed"])


def collect(places: Places, output: Output, name: str, folder: str, *, note: str) -> None:
    client = _materials(places)
    made = client.collect(name, folder, note=note)
    found = _followed(output, lambda: client.collection(name, made["id"]), "collected")
    lines = [f"collected/{found['place']}: from {count(found['collected'], 'student')}"]
    output.done(found, "\n".join([*lines, *_failures(found)]))


def switch_nbgrader(places: Places, output: Output, name: str, *, on: bool) -> None:
    state = _materials(places).switch_nbgrader(name, on=on)
    text = f"{name}: is the course {state['course']} now" if on else f"{name}: has no nbgrader now"
    output.done(state, text)


def _followed(output: Output, look: Callable[[], dict[str, Any]], done: str) -> dict[str, Any]:
    """What it has become when nobody waits any more."""
    said = -1
    while True:
        found = look()
        if not found["waiting"]:
            return found
        if found[done] != said:
            said = found[done]
            output.say(f"{said} done, {found['waiting']} to go")
        time.sleep(_LOOK_EACH_SECONDS)


def _left(one: Mapping[str, Any]) -> tuple[str, str]:
    return str(one["waiting"] or ""), str(one["failed"] or "")


def _failures(found: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {one['why']}"
        for name, one in sorted(found["people"].items())
        if one["state"] == "failed"
    ]
