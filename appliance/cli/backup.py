"""`appliance backup …`: making, looking at and removing backups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True,
    help="Backups of accounts, settings, homes and classes' folders.",
    rich_markup_mode=None,
)

Name = Annotated[
    str,
    typer.Argument(
        help="A backup's name, latest, or the path of one.",
        metavar="NAME",
        autocompletion=completion.backups,
    ),
]
Where = Annotated[
    Path | None,
    typer.Option("--in", help="In this folder, not in backup.folder.", metavar="FOLDER"),
]
Identity = Annotated[
    Path | None,
    typer.Option("--identity", help="A file with a secret key of age.", metavar="FILE"),
]
PassphraseStdin = Annotated[
    bool, typer.Option("--passphrase-stdin", help="Read the backup's passphrase from stdin.")
]


@app.command()
def create(
    *,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Into this folder, not into backup.folder.", metavar="FOLDER"),
    ] = None,
    without_homes: Annotated[
        bool, typer.Option("--without-homes", help="Leave out the files of users.")
    ] = False,
    encrypt: Annotated[
        bool | None,
        typer.Option(
            "--encrypt/--no-encrypt",
            help="Else it is encrypted if a passphrase or public keys are set.",
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make a backup now, while everything runs, and read it back."""
    from appliance.cli import backup_work

    require_root(Places.current())
    backup_work.create(
        Places.current(), Output(json, quiet), to=to, homes=not without_homes, encrypted=encrypt
    )


@app.command("list")
def list_(*, where: Where = None, json: Json = False) -> None:
    """List backups, newest first."""
    from appliance.cli import backup_work

    require_root(Places.current())
    backup_work.list_backups(Places.current(), Output(json), where)


@app.command()
def verify(
    name: Name = "latest",
    *,
    where: Where = None,
    by_restoring: Annotated[
        bool,
        typer.Option("--by-restoring", help="Unpack all of it, too, into a folder that goes."),
    ] = False,
    identity: Identity = None,
    passphrase_stdin: PassphraseStdin = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Read a backup and compare every byte; open its database and archives."""
    from appliance.cli import backup_work

    require_root(Places.current())
    backup_work.verify_backup(
        Places.current(), Output(json, quiet), name, where,
        by_restoring=by_restoring, identity=identity, passphrase_stdin=passphrase_stdin,
    )  # fmt: skip


@app.command()
def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Backups' names.", metavar="NAME...", autocompletion=completion.backups
        ),
    ],
    *,
    where: Where = None,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Remove backups for good."""
    from appliance.cli import backup_work

    require_root(Places.current())
    backup_work.remove(Places.current(), Output(json, quiet), names, where, yes=yes)


@app.command()
def passphrase(
    *,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from stdin, one line.")] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make one and print it, once.")
    ] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Encrypt no more backups with it.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Set the passphrase with which backups are encrypted from now on."""
    from appliance.cli import backup_work

    require_root(Places.current())
    if stdin + generate + forget > 1:
        raise UsageError(
            "cannot set the passphrase",
            why="--stdin, --generate and --forget exclude each other",
            mend="appliance backup passphrase --help",
        )
    backup_work.set_passphrase(
        Places.current(), Output(json, quiet), stdin=stdin, generate=generate, forget=forget
    )


def restore(
    name: Annotated[
        str,
        typer.Argument(
            help="A backup's name, latest, or the path of one.",
            metavar="[NAME]",
            autocompletion=completion.backups,
        ),
    ] = "",
    *,
    where: Where = None,
    user: Annotated[
        str,
        typer.Option(
            "--user",
            help="Only this user's files, into a new folder of the home.",
            metavar="NAME",
            autocompletion=completion.user_names,
        ),
    ] = "",
    file: Annotated[
        str,
        typer.Option("--file", help="Of them only this file or folder.", metavar="PATH"),
    ] = "",
    only_settings: Annotated[
        bool, typer.Option("--only-settings", help="Only config.yaml.")
    ] = False,
    files: Annotated[
        str,
        typer.Option(
            "--files",
            help="Homes and classes' folders: missing brings back those that aren't there, all "
            "replaces the others too, none.",
            metavar="WHICH",
        ),
    ] = "missing",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Go back to what was before the last restore.")
    ] = False,
    identity: Identity = None,
    passphrase_stdin: PassphraseStdin = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Bring a backup back, on this machine or a new one."""
    from appliance.backup.plan import Files
    from appliance.cli import restore as restore_

    require_root(Places.current())
    if undo == bool(name) or (file and not user) or files not in set(Files):
        raise UsageError(
            "cannot restore",
            why="give a backup's NAME or --undo; --file goes with --user; --files is missing, all "
            "or none",
            mend="appliance restore --help; appliance backup list",
        )
    output = Output(json, quiet)
    if undo:
        restore_.undo(Places.current(), output, yes=yes)
        return
    wanted = restore_.Wanted(
        name=name, where=where, user=user, file=file, only_settings=only_settings,
        files=Files(files), dry_run=dry_run, yes=yes, identity=identity,
        passphrase_stdin=passphrase_stdin,
    )  # fmt: skip
    restore_.restore(Places.current(), output, wanted)
