"""The top level of the command `appliance`.

What a command needs is imported inside it: `appliance --help` and Tab must not wait for pydantic.
"""

from __future__ import annotations

from typing import Annotated

import typer

from appliance import __version__
from appliance.cli import (
    class_materials,
    completion,
    config,
    disk,
    env,
    https,
    mail,
    server,
    token,
    user_proofs,
)
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Follow, Json, Lines, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    name="appliance",
    help="The Hub Appliance: people, servers, settings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug, anywhere, shows where an error comes from.",
)
app.add_typer(config.app, name="config")
app.add_typer(user_proofs.app, name="user")
app.add_typer(class_materials.app, name="class")
app.add_typer(server.app, name="server")
app.add_typer(token.app, name="token")
app.add_typer(mail.app, name="mail")
app.add_typer(https.app, name="https")
app.add_typer(env.app, name="env")
app.add_typer(disk.app, name="disk")


@app.command()
def status(*, json: Json = False) -> None:
    """Say on one screen how the appliance is. Exits with 1 if it doesn't answer."""
    from appliance.cli import status as status_

    raise typer.Exit(status_.show(Places.current(), Output(json)))


@app.command()
def logs(
    name: Annotated[
        str,
        typer.Argument(
            help="hub, proxy, spawner, preload, a user, USER/NAME, or a service; else all of ours.",
            autocompletion=completion.log_names,
            metavar="[NAME]",
        ),
    ] = "",
    *,
    lines: Lines = 50,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Show what the programs and servers say."""
    from appliance.cli import logs as logs_

    require_root(Places.current())
    logs_.show(Places.current(), Output(json), name, lines=lines, follow=follow)


@app.command()
def audit(
    *,
    since: Annotated[
        str, typer.Option("--since", help="An age such as 1h or 7d, or a date.", metavar="WHEN")
    ] = "",
    user: Annotated[
        str,
        typer.Option(
            "--user",
            help="What this user did, and what was done to this user.",
            metavar="NAME",
            autocompletion=completion.user_names,
        ),
    ] = "",
    action: Annotated[
        str,
        typer.Option(
            "--action",
            help="Actions that begin so, such as user. or auth.log-in.",
            metavar="PREFIX",
            autocompletion=completion.actions,
        ),
    ] = "",
    lines: Lines = 50,
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Show who did what with accounts, rights and settings."""
    from appliance.cli import audit as audit_

    require_root(Places.current())
    wanted = audit_.Wanted(since=audit_.parse_since(since), user=user, action=action)
    audit_.show(Places.current(), Output(json), wanted, lines=lines, follow=follow)


@app.command()
def say(
    text: Annotated[
        str, typer.Argument(help="What to say; - reads it from stdin.", metavar="TEXT")
    ],
    *,
    everyone: Annotated[bool, typer.Option("--all", help="To everybody.")] = False,
    user: Annotated[
        str,
        typer.Option(
            "--user", help="To one user.", metavar="NAME", autocompletion=completion.user_names
        ),
    ] = "",
    hours: Annotated[
        int,
        typer.Option("--hours", help="For how long, if nobody reads it before.", min=1, max=336),
    ] = 12,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say something to everybody or to one user; to a class: appliance class say."""
    from appliance.cli import messages

    if everyone == bool(user):
        raise UsageError(
            "cannot say it", why="give either --all or --user NAME", mend="appliance say --help"
        )
    require_root(Places.current())
    messages.say(Places.current(), Output(json, quiet), text, user=user, hours=hours)


@app.command()
def version(*, json: Json = False) -> None:
    """Print the version."""
    Output(json).data({"version": __version__}, __version__)
