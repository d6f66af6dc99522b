"""`appliance mail …`: the mails that the hub sends."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="The mails that the hub sends.", rich_markup_mode=None)


@app.command("test")
def try_out(
    address: Annotated[str, typer.Argument(help="Whom to write to.", metavar="ADDRESS")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Send a mail, and say what the mail server says if it doesn't take it."""
    from appliance.cli import proofs

    require_root(Places.current())
    proofs.test_mail(Places.current(), Output(json, quiet), address)


@app.command()
def status(*, json: Json = False) -> None:
    """Say whether mail can be sent, and why the latest could not."""
    from appliance.cli import proofs

    require_root(Places.current())
    proofs.mail_status(Places.current(), Output(json))
