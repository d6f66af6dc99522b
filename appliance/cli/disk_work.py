"""What the commands about disks do: they look and act themselves, so they work without a hub."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any, Final

from appliance.cli.output import Output, count, size
from appliance.cli.people import confirm
from appliance.config.rendered import read_in_force
from appliance.disk.file_systems import find
from appliance.disk.health import biggest
from appliance.disk.look import folders_of, rooms
from appliance.disk.prepare import Plan, carry_out
from appliance.disk.prepare import plans as plans_for
from appliance.disk.quotas import set_all
from appliance.disk.report import Report, Used, read_report, report_file
from appliance.disk.rounds import measure_all
from appliance.errors import ApplianceError, NotFound
from appliance.names import CHECK_USERS
from appliance.network import outgoing_in_shell
from appliance.places import Places

_MOST: Final = 10


def status(places: Places, output: Output) -> None:
    report = read_report(report_file(places))
    found = rooms(find(folders_of(places).values()), places)
    most = [_user(name, used) for name, used in biggest(_people(report), _MOST)]
    value = {"file_systems": [asdict(room) for room in found], "biggest": most, **_when(report)}
    if output.as_json:
        output.data(value, "")
        return
    output.table(
        value,
        ["disk", "kind", "size", "free", "used", "entries", "quotas", "holds"],
        [
            [room.place, room.kind, size(room.size), size(room.free), f"{room.percent} %",
             f"{room.files_percent} %", room.quota, ", ".join(room.holds)]
            for room in found
        ],
    )  # fmt: skip
    if most:
        print()
        output.table(most, _COLUMNS, [_row(one) for one in most])


def usage(places: Places, output: Output, name: str, *, now: bool) -> None:
    report = measure_all(places) if now else read_report(report_file(places))
    users = [_user(user, used) for user, used in biggest(_people(report), len(report.users))]
    classes = [
        _user(one, used) for one, used in biggest(report.classes.items(), len(report.classes))
    ]
    if name:
        users, classes = [one for one in users if one["name"] == name], []
        if not users:
            raise NotFound(
                f"cannot tell what {name} uses",
                why="nothing was measured of a home of that name",
                mend="appliance disk usage --now; appliance user list",
            )
    if output.as_json:
        output.data({"users": users, "classes": classes, **_when(report)}, "")
        return
    rows = [_row(one) for one in users]
    rows += [_row({**one, "name": f"class {one['name']}"}) for one in classes]
    output.table(users, _COLUMNS, rows)
    output.say(_age(report))


def _people(report: Report) -> list[tuple[str, Used]]:
    """Without the accounts that checks use."""
    return [(name, used) for name, used in report.users.items() if name not in CHECK_USERS]


_COLUMNS: Final = ["name", "uses", "of", "used", "files", "seen"]


def _user(name: str, used: Used) -> dict[str, Any]:
    return {"name": name, **used.model}


def _row(one: dict[str, Any]) -> list[str]:
    at_least = "" if one["complete"] else "more than "
    return [
        one["name"],
        at_least + size(one["bytes"]),
        size(one["limit_bytes"]) if one["limit_bytes"] else "-",
        "-" if one["percent"] is None else f"{one['percent']} %",
        str(one["files"]),
        "counted by the disk" if one["enforced"] else "measured",
    ]


def _when(report: Report) -> dict[str, Any]:
    return {"measured": report.at or None}


def _age(report: Report) -> str:
    if not report.at:
        return "nothing was measured yet: appliance disk usage --now"
    minutes = int((time.time() - report.at) // 60)
    return f"measured {count(minutes, 'minute')} ago" if minutes else "measured just now"


def apply(places: Places, output: Output) -> int:
    problems = set_all(read_in_force(places), places)
    if not any(one.quota.users_counted for one in find([places.homes])):
        problems.append(
            "the homes' disk has no quotas, so limits are only measured: appliance disk prepare"
        )
    text = "\n".join(problems) or "the file systems have the limits of the settings"
    output.done({"problems": problems}, text)
    return 1 if problems else 0


def prepare(places: Places, output: Output, *, dry_run: bool, agreed: bool) -> int:
    if places.trial:
        raise ApplianceError(
            "cannot turn quotas on",
            why="in a trial all files are your own",
            mend="install the appliance",
        )
    plans = plans_for(places)
    value = {"file_systems": [asdict(plan) for plan in plans]}
    text = "\n\n".join(_told(plan) for plan in plans)
    to_do = [plan for plan in plans if plan.state == "steps"]
    if dry_run or not to_do:
        output.data(value, text)
        return int(any(plan.state == "by-hand" for plan in plans))
    output.say(text)
    if not agreed:
        confirm("Do it?")
    config = read_in_force(places)
    network = outgoing_in_shell(config, places, os.environ)
    for plan in to_do:
        carry_out(plan, say=output.say, network=network)
    set_all(config, places)
    after = plans_for(places)
    output.data({"file_systems": [asdict(plan) for plan in after]}, _done(after))
    return int(any(plan.state != "ready" for plan in after))


def _told(plan: Plan) -> str:
    lines = [f"{plan.place} ({plan.kind}): {plan.says}"]
    for step in plan.steps:
        command = " ".join(step.command) or f"add {','.join(step.options)}"
        lines.append(f"  {step.does}: {command}")
    lines += [f"  {line}" for line in plan.by_hand]
    return "\n".join(lines)


def _done(plans: list[Plan]) -> str:
    return "\n".join(f"{plan.place} ({plan.kind}): {plan.says}" for plan in plans)
