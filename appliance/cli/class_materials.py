"""`appliance class …` about materials: handing out, collecting, nbgrader."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from appliance.cli.classes import Name, app
from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

__all__ = ["app"]

Folder = Annotated[str, typer.Argument(help="A folder, from the class's own on.", metavar="FOLDER")]


class Rule(StrEnum):
    """What becomes of a file that is there already and differs."""

    KEEP = "keep"
    REPLACE = "replace"
    BESIDE = "beside"


class Switch(StrEnum):
    """On or off."""

    ON = "on"
    OFF = "off"


@app.command()
def materials(name: Name, *, json: Json = False) -> None:
    """List what was handed out to a class, and what was collected."""
    from appliance.cli import material_work

    require_root(Places.current())
    material_work.show(Places.current(), Output(json), name)


@app.command("hand-out")
def hand_out(
    name: Name,
    folder: Folder,
    *,
    rule: Annotated[
        Rule,
        typer.Option(
            "--rule",
            help="Of files that are there and differ: keep theirs, replace them (theirs stay "
            "under another name), or put the new ones beside.",
        ),
    ] = Rule.KEEP,
    latecomers: Annotated[
        bool, typer.Option("--latecomers/--no-latecomers", help="Who joins later gets it too.")
    ] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give everybody in a class a copy of a shared folder. Exits with 1 if that failed for some."""
    from appliance.cli import material_work

    require_root(Places.current())
    output = Output(json, quiet)
    failed = material_work.hand_out(
        Places.current(), output, name, folder, rule=rule.value, latecomers=latecomers
    )
    raise typer.Exit(1 if failed else 0)


@app.command()
def collect(
    name: Name,
    folder: Folder,
    *,
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take a dated snapshot of a folder from everybody in a class, for its teachers."""
    from appliance.cli import material_work

    require_root(Places.current())
    material_work.collect(Places.current(), Output(json, quiet), name, folder, note=note)


@app.command()
def nbgrader(
    name: Name,
    switch: Annotated[Switch, typer.Argument(help="on or off.", metavar="on|off")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a class a course of nbgrader's, or no longer one; what was graded stays."""
    from appliance.cli import material_work

    require_root(Places.current())
    material_work.switch_nbgrader(
        Places.current(), Output(json, quiet), name, on=switch is Switch.ON
    )
