"""`appliance isolation …`: whether users' servers are kept from each other and from the machine."""

from __future__ import annotations

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="Whether servers are kept from each other.")


@app.callback()
def isolation() -> None:
    """Keeps `test` a word of its own."""


@app.command(name="test")
def try_isolation(*, json: Json = False, quiet: Quiet = False) -> None:
    """Start two servers of the appliance's own, and try from one what it can get at.

    Exits with 1 if anything succeeds that shouldn't. Nobody else's server is touched.
    """
    from appliance.cli import isolation_work

    require_root(Places.current())
    raise typer.Exit(isolation_work.test(Places.current(), Output(json, quiet)))
