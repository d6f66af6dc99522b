"""What the `class` commands do: they ask the hub, which decides."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from appliance.cli.output import Output, age, count, size
from appliance.cli.people import confirm
from appliance.client.classes import ClassesClient
from appliance.client.hub import HubClient
from appliance.errors import ApplianceError, NotFound
from appliance.names import parse_username
from appliance.places import Places

# Passwords are hashed slowly by design.
_SECONDS: Final = 120.0
_LOOK_EACH_SECONDS: Final = 1.0


def _classes(places: Places) -> ClassesClient:
    return ClassesClient(HubClient.of(places, timeout=_SECONDS))


def list_classes(places: Places, output: Output) -> None:
    found = _classes(places).all()
    rows = [
        [
            one["name"],
            one["title"],
            str(one["students"]),
            str(one["waiting"] or ""),
            ", ".join(one["teachers"]),
            _state(one),
        ]
        for one in found
    ]
    columns = ["name", "title", "students", "waiting", "teachers", "state"]
    output.table(found, columns, rows)


def add(places: Places, output: Output, title: str, *, name: str, teacher: str) -> None:
    made = _classes(places).make(title, name=name, teacher=teacher)
    lines = [f"{title}: made; commands call it {made['class']['name']}"]
    lines += [f"{one['name']} {one['password']}" for one in made["created"]]
    # A generated password is never held back: nobody can ask for it again.
    output.data(made, "\n".join(lines))


def show(places: Places, output: Output, name: str) -> None:
    one = _classes(places).get(name)
    lines = [
        f"{one['name']}: {one['title']}",
        f"teachers: {', '.join(one['teachers']) or 'nobody'}",
        f"students: {one['students']}, of whom {one['waiting']} wait",
        f"who joins by a code {'waits for a teacher' if one['must_approve'] else 'is in at once'}",
    ]
    if _state(one):
        lines.append(_state(one))
    output.data(one, "\n".join(lines))


def change(places: Places, output: Output, name: str, values: Mapping[str, Any]) -> None:
    output.done(_classes(places).change(name, **values), f"{name}: changed")


def teacher(places: Places, output: Output, name: str, user: str, *, remove: bool) -> None:
    parsed, classes = parse_username(user), _classes(places)
    if remove:
        classes.remove_teacher(name, parsed)
        output.done({"name": parsed, "password": None}, f"{parsed}: no longer teaches {name}")
        return
    made = classes.add_teacher(name, parsed)["created"]
    password = made[0]["password"] if made else None
    tell = output.data if password else output.done
    text = f"{parsed}: teaches {name}"
    tell(
        {"name": parsed, "password": password}, f"{text}\n{parsed} {password}" if password else text
    )


def take_out(places: Places, output: Output, name: str, users: Sequence[str]) -> None:
    wanted = [parse_username(user) for user in users]
    taken = _classes(places).take_out(name, wanted)
    output.done({"taken_out": taken}, "\n".join(f"{user}: taken out of {name}" for user in taken))
    missing = [user for user in wanted if user not in taken]
    if missing:
        raise NotFound(f"cannot take out {', '.join(missing)}", why=f"not in the class {name!r}")


def remove(places: Places, output: Output, name: str, *, yes: bool) -> None:
    if not yes:
        confirm(f"Delete the class {name} and its folder, without an archive?")
    _classes(places).remove(name)
    output.done({"removed": name}, f"{name}: removed")


def archive(places: Places, output: Output, name: str, *, anew: bool, yes: bool) -> None:
    classes = _classes(places)
    one = classes.get(name)
    if not yes:
        confirm(
            f"Archive {name} with {count(one['students'], 'student')}? "
            "Their servers stop, and accounts that are in no other class go."
        )
    number = classes.archive(name, anew=anew)
    said = -1
    while True:
        found = classes.get_archive(number)
        if found["state"] not in {"making", "packed"}:
            break
        if found["done"] != said:
            said = found["done"]
            output.say(f"{said} of {count(found['students'], 'home')} packed")
        time.sleep(_LOOK_EACH_SECONDS)
    if found["state"] == "failed":
        failure = found["failure"] or {}
        raise ApplianceError(
            failure.get("what") or f"cannot archive the class {name!r}",
            why=failure.get("why", ""),
            mend=failure.get("mend", ""),
        )
    output.done(found, f"{name}: is in {found['place']}")


def list_archives(places: Places, output: Output) -> None:
    found = _classes(places).archives()
    rows = [
        [
            str(one["id"]),
            one["name"],
            one["title"],
            age(one["created"]),
            str(one["students"]),
            size(one["bytes"]) if one["bytes"] else "",
            one["state"],
            one["place"],
        ]
        for one in found
    ]
    columns = ["number", "name", "title", "made", "students", "size", "state", "place"]
    output.table(found, columns, rows)


def restore(places: Places, output: Output, number: int, *, name: str) -> None:
    made = _classes(places).restore(number, name)
    lines = [f"{one['name']} {one['password']}" for one in made["created"]]
    output.data(made, "\n".join(lines) or "the class is there again; everybody has an account")


def remove_archive(places: Places, output: Output, number: int, *, yes: bool) -> None:
    if not yes:
        confirm(f"Delete the archive {number} with its files, for good?")
    _classes(places).remove_archive(number)
    output.done({"removed": number}, f"{number}: removed")


def _state(one: Mapping[str, Any]) -> str:
    if one["archiving"]:
        return f"going into the archive: {one['archiving']['done']} of {one['archiving']['of']}"
    return "joining frozen" if one["frozen"] else ""
