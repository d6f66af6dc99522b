"""`appliance disk …`: what is used, how much room is left, and quotas."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet, UserOrAll, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="Disks: what is used, and quotas.")


@app.command()
def status(*, json: Json = False) -> None:
    """Say how full the disks are, whether they hold to limits, and who uses most."""
    from appliance.cli import disk_work

    require_root(Places.current())
    disk_work.status(Places.current(), Output(json))


@app.command()
def usage(
    name: UserOrAll = "",
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Measure anew first, which may take minutes.")
    ] = False,
    json: Json = False,
) -> None:
    """Say what homes and classes' folders take, the largest first."""
    from appliance.cli import disk_work

    require_root(Places.current())
    disk_work.usage(Places.current(), Output(json), name, now=now)


@app.command()
def apply(*, quiet: Quiet = False, json: Json = False) -> None:
    """Tell the file systems the limits of the settings. It happens by itself, too."""
    from appliance.cli import disk_work

    require_root(Places.current())
    raise typer.Exit(disk_work.apply(Places.current(), Output(json, quiet)))


@app.command()
def prepare(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it takes, no more.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Turn quotas on for the disks of homes and classes, or say what that takes."""
    from appliance.cli import disk_work

    require_root(Places.current())
    raise typer.Exit(disk_work.prepare(Places.current(), Output(json), dry_run=dry_run, agreed=yes))
