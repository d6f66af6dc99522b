"""`appliance class exam` and `keep`: what a class is given a time for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from appliance.cli.class_materials import app
from appliance.cli.classes import Name
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json
from appliance.cli.output import Output
from appliance.places import Places

if TYPE_CHECKING:
    from appliance.client.hub import HubClient

__all__ = ["app"]

_HOW: Final = "write a time such as 22:00, or a day and a time such as '2030-06-01 22:00'"

Until = Annotated[
    str,
    typer.Option("--until", help="When it is over: 12:00, or '2030-06-01 12:00'.", metavar="TIME"),
]


@app.command()
def exam(
    name: Name,
    *,
    begin: Annotated[
        str, typer.Option("--from", help="When it begins; now if not given.", metavar="TIME")
    ] = "",
    until: Until = "",
    end: Annotated[bool, typer.Option("--end", help="End it now, or call it off.")] = False,
    json: Json = False,
) -> None:
    """Take the network from the servers of a class's students for a time; or say until when."""
    if end and (begin or until):
        raise UsageError("cannot set the exam", why="--end goes without --from and --until")
    if begin and not until:
        raise UsageError("cannot set the exam", why="it needs --until")
    path = _path(name, "exam")
    hub, output = _hub(), Output(json)
    if end:
        hub.request("DELETE", path)
    elif until:
        body: dict[str, Any] = {"ends": _moment(until).isoformat()}
        if begin:
            body["begins"] = _moment(begin).isoformat()
        hub.request("PUT", path, body)
    found = hub.request("GET", path)
    output.data(found, _exam_text(found))


@app.command()
def keep(
    name: Name,
    *,
    until: Until = "",
    end: Annotated[bool, typer.Option("--end", help="Keep them no longer.")] = False,
    json: Json = False,
) -> None:
    """Keep a class's servers running until a time, used or not; or say until when."""
    if end and until:
        raise UsageError("cannot keep the servers", why="--end goes without --until")
    path = _path(name, "keep")
    hub, output = _hub(), Output(json)
    if end:
        hub.request("DELETE", path)
    elif until:
        hub.request("PUT", path, {"until": _moment(until).isoformat()})
    found = hub.request("GET", path)
    kept = found["kept_until"]
    text = f"The servers are kept running until {_local(kept)}." if kept else "They are not kept."
    output.data(found, text)


def _hub() -> HubClient:
    from appliance.client.hub import HubClient

    require_root(Places.current())
    return HubClient.of(Places.current())


def _path(name: str, what: str) -> str:
    return f"/appliance/classes/{quote(name, safe='')}/{what}"


def _exam_text(found: dict[str, Any]) -> str:
    if not found["ends"]:
        return "There is no exam."
    if not found["is_now"]:
        return f"An exam is set, from {_local(found['begins'])} to {_local(found['ends'])}."
    text = f"An exam is under way until {_local(found['ends'])}."
    if found["waits_for"]:
        text += f"\nTheir server must be started anew: {', '.join(found['waits_for'])}"
    return text


def _local(stamp: str) -> str:
    return f"{datetime.fromisoformat(stamp).astimezone():%Y-%m-%d %H:%M}"


def _moment(text: str) -> datetime:
    """A moment by the machine's clock and zone; a time alone is when it is next that time."""
    words = text.strip().replace("T", " ")
    try:
        if "-" in words:
            return datetime.strptime(words, "%Y-%m-%d %H:%M").astimezone()
        time = datetime.strptime(words, "%H:%M").time()  # noqa: DTZ007
    except ValueError as error:
        raise UsageError("cannot read the time", why=f"{text!r} is none", mend=_HOW) from error
    now = datetime.now().astimezone()
    moment = datetime.combine(now.date(), time).astimezone()
    if moment <= now:
        moment = datetime.combine(now.date() + timedelta(days=1), time).astimezone()
    return moment
