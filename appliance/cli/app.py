"""The top level of the command `appliance`.

What a command needs is imported inside it: `appliance --help` and Tab must not wait for pydantic.
"""

from __future__ import annotations

from typing import Annotated

import typer

from appliance import __version__
from appliance.cli import (
    backup,
    class_exams,
    completion,
    config,
    disk,
    env,
    https,
    isolation,
    limits,
    mail,
    notices,
    server,
    token,
    user_proofs,
)
from appliance.cli.errors import UsageError, require_root
from appliance.cli.listing import Commands
from appliance.cli.options import Follow, Json, Lines, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    name="appliance",
    cls=Commands,
    help="The Hub Appliance: people, servers, settings.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="--debug, anywhere, shows where an error comes from.",
)
app.add_typer(config.app, name="config", cls=Commands)
app.add_typer(user_proofs.app, name="user", cls=Commands)
app.add_typer(class_exams.app, name="class", cls=Commands)
app.add_typer(server.app, name="server", cls=Commands)
app.add_typer(token.app, name="token", cls=Commands)
app.add_typer(mail.app, name="mail", cls=Commands)
app.add_typer(notices.app, name="notices", cls=Commands)
app.add_typer(backup.app, name="backup", cls=Commands)
app.add_typer(https.app, name="https", cls=Commands)
app.add_typer(env.app, name="env", cls=Commands)
app.add_typer(disk.app, name="disk", cls=Commands)
app.add_typer(limits.app, name="limits", cls=Commands)
app.add_typer(isolation.app, name="isolation", cls=Commands)


@app.command()
def status(*, json: Json = False) -> None:
    """Say on one screen how the appliance is. Exits with 1 if it doesn't answer."""
    from appliance.cli import status as status_

    raise typer.Exit(status_.show(Places.current(), Output(json)))


@app.command()
def doctor(
    *,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended safely.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say only what is wrong.")] = False,
    json: Json = False,
) -> None:
    """Go a user's way from the browser to a running cell, and name what is broken.

    Exits with 1 if something is broken; warnings alone are no failure.
    """
    from appliance.cli import doctor as doctor_

    require_root(Places.current())
    raise typer.Exit(doctor_.doctor(Places.current(), Output(json, quiet), fixes=fix))


@app.command("support-bundle")
def support_bundle(
    file: Annotated[str, typer.Argument(help="Where to write it.", metavar="[FILE]")] = "",
    *,
    lines: Annotated[
        int,
        typer.Option(
            "-n", "--lines", min=0, help="How many lines of each program's log.", metavar="N"
        ),
    ] = 500,
    anonymize: Annotated[
        bool, typer.Option("--anonymize", help="Replace names of users and addresses, too.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Collect what somebody who helps you needs to see, with secrets removed."""
    from appliance.cli import doctor as doctor_

    require_root(Places.current())
    output = Output(json, quiet)
    doctor_.bundle(Places.current(), output, file, lines=lines, anonymous=anonymize)


@app.command()
def logs(
    name: Annotated[
        str,
        typer.Argument(
            help="hub, proxy, spawner, preload, upkeep, backup, disk, files, rebuild; a user, "
            "USER/NAME, or a service; else all of ours.",
            autocompletion=completion.log_names,
            metavar="[NAME]",
        ),
    ] = "",
    *,
    lines: Lines = 50,
    since: Annotated[
        str, typer.Option("--since", help="An age such as 1h or 7d, or a date.", metavar="WHEN")
    ] = "",
    follow: Follow = False,
    json: Json = False,
) -> None:
    """Show what the programs and servers say."""
    from appliance.cli import logs as logs_
    from appliance.cli.audit import parse_since

    require_root(Places.current())
    logs_.show(
        Places.current(), Output(json), name, lines=lines, follow=follow, since=parse_since(since)
    )


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
def upgrade(
    *,
    version: Annotated[str, typer.Option("--version", help="This release.", metavar="V")] = "",
    source: Annotated[
        str,
        typer.Option(
            "--source", help="A wheel, sdist or checkout, or an address.", metavar="PLACE"
        ),
    ] = "",
    wheels: Annotated[
        str,
        typer.Option("--wheels", help="Take all Python packages from this folder.", metavar="DIR"),
    ] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether there is a newer release.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the release before.")
    ] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go to a newer release; if it doesn't work here, everything is as before.

    Servers that run go on.
    """
    from appliance.cli import upgrade as upgrade_
    from installer.releases import Wanted

    require_root(Places.current())
    upgrading = upgrade_.Upgrading(
        Places.current(), Output(json, quiet), Wanted(version, source, wheels), yes
    )
    raise typer.Exit(upgrade_.run(upgrading, check=check, dry_run=dry_run, rollback=rollback))


@app.command()
def uninstall(
    *,
    purge: Annotated[
        bool,
        typer.Option("--purge", help="Delete accounts, homes, classes and settings too."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what goes and what stays.")
    ] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take the appliance off this machine; people's files and accounts stay."""
    from appliance.cli import uninstall as uninstall_

    require_root(Places.current())
    raise typer.Exit(
        uninstall_.uninstall(
            Places.current(), Output(json, quiet), purge=purge, yes=yes, dry_run=dry_run
        )
    )


app.command()(backup.restore)


@app.command()
def version(*, json: Json = False) -> None:
    """Print the version."""
    Output(json).data({"version": __version__}, __version__)
