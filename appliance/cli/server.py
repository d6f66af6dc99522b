"""`appliance server …`: single-user servers."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="Single-user servers.", rich_markup_mode=None)


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List the servers that run or start, with what they use."""
    from appliance.cli import running

    require_root(Places.current())
    running.list_servers(Places.current(), Output(json))


@app.command()
def start(
    name: Annotated[
        str,
        typer.Argument(
            help="A user, or USER/NAME for a named server.",
            metavar="SERVER",
            autocompletion=completion.user_names,
        ),
    ],
    *,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Don't wait until it is ready.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Start a user's server."""
    from appliance.cli import running

    require_root(Places.current())
    running.start(Places.current(), Output(json, quiet), name, wait=not no_wait)


@app.command()
def stop(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Users, or USER/NAME for named servers.",
            metavar="[SERVER...]",
            autocompletion=completion.server_names,
        ),
    ] = None,
    *,
    everyone: Annotated[bool, typer.Option("--all", help="Every server that runs.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Stop servers; what isn't saved in them is lost."""
    from appliance.cli import running

    require_root(Places.current())
    if bool(names) == everyone:
        raise UsageError("cannot stop", why="give names, or --all", mend="appliance server list")
    running.stop(Places.current(), Output(json, quiet), names or [])
