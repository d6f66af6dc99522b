"""`appliance notices …`: what admins are told without having asked."""

from __future__ import annotations

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True,
    help="Mails and messages to admins when something is wrong.",
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Mails and messages to admins when something is wrong."""


@app.command("test")
def try_out(*, quiet: Quiet = False, json: Json = False) -> None:
    """Send a notice to everybody who would get one, and say what came of it."""
    from appliance.cli.notices_work import test

    require_root(Places.current())
    test(Places.current(), Output(json, quiet))
