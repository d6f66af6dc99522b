"""`appliance limits …`: what servers may use and why, and what fits this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet, UserOrAll, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="Limits: what servers may use, and what fits.")


@app.command()
def show(
    name: UserOrAll = "",
    *,
    group: Annotated[
        str, typer.Option("--group", help="The members of this group or class.", metavar="NAME")
    ] = "",
    json: Json = False,
) -> None:
    """Print what servers may use, and where each limit comes from."""
    from appliance.cli import limits_work

    require_root(Places.current())
    limits_work.show(Places.current(), Output(json), name, group)


@app.command()
def suggest(
    *,
    class_size: Annotated[
        int | None,
        typer.Option(
            "--class-size", min=1, max=5000, help="How many work at the same time.", metavar="N"
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Set what is suggested.")] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Work out limits that fit this machine and so many people, and say how."""
    from appliance.cli import limits_work

    require_root(Places.current())
    limits_work.suggest(
        Places.current(), Output(json, quiet and apply), class_size, apply=apply, yes=yes
    )
