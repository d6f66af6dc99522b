"""`appliance user …`: people and their accounts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(no_args_is_help=True, help="People and their accounts.", rich_markup_mode=None)

Name = Annotated[
    str, typer.Argument(help="A user's name.", metavar="NAME", autocompletion=completion.user_names)
]
Names = Annotated[
    list[str],
    typer.Argument(help="Users' names.", metavar="NAME...", autocompletion=completion.user_names),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Write names and generated passwords to this new file, readable by root alone.",
    ),
]
Generate = Annotated[bool, typer.Option("--generate", help="Make passwords and print them, once.")]


@app.command("list")
def list_(
    *,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only who waits for approval.")
    ] = False,
    admins: Annotated[bool, typer.Option("--admins", help="Only admins.")] = False,
    json: Json = False,
) -> None:
    """List the users."""
    from appliance.cli import people

    require_root(Places.current())
    people.list_users(Places.current(), Output(json), waiting=waiting, admins=admins)


@app.command()
def add(
    names: Annotated[
        list[str],
        typer.Argument(
            help="New users' names; - reads them from stdin, one a line.", metavar="NAME..."
        ),
    ],
    *,
    admin: Annotated[bool, typer.Option("--admin", help="Make them admins.")] = False,
    generate: Generate = False,
    output: OutputFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make accounts that may log in at once."""
    from appliance.cli import people

    require_root(Places.current())
    if output and not generate:
        raise UsageError(
            "cannot write passwords", why="--output goes with --generate", mend="add --generate"
        )
    people.add(
        Places.current(), Output(json, quiet), names, admin=admin, generate=generate, file=output
    )


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="A CSV file with people; - reads it from stdin.", metavar="FILE")
    ],
    *,
    class_: Annotated[
        str,
        typer.Option(
            "--class", help="Put them all into this class; else a column says.", metavar="NAME"
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would become of each row.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Write log-in cards (.html, to be printed) or passwords (.csv) to this new file, "
            "readable by root alone.",
        ),
    ] = None,
    paper: Annotated[
        str, typer.Option("--paper", help="For cards: a4 or letter.", metavar="SIZE")
    ] = "a4",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make accounts of a list of people, with passwords; rows that can't be used are told."""
    from appliance.cli import rosters

    require_root(Places.current())
    rosters.import_people(
        Places.current(), Output(json, quiet), file,
        group=class_, dry_run=dry_run, file=output, paper=paper,
    )  # fmt: skip


@app.command()
def export(
    *,
    class_: Annotated[str, typer.Option("--class", help="Only this class.", metavar="NAME")] = "",
    kind: Annotated[
        str,
        typer.Option(
            "--for",
            help="plain, excel, or excel-semicolon where numbers are written 1,5.",
            metavar="KIND",
        ),
    ] = "plain",
    json: Json = False,
) -> None:
    """Print people and their classes as CSV, which `import` reads again."""
    from appliance.cli import rosters

    require_root(Places.current())
    rosters.export_people(Places.current(), Output(json), group=class_, kind=kind)


@app.command()
def remove(names: Names, *, yes: Yes = False, quiet: Quiet = False, json: Json = False) -> None:
    """Remove accounts and stop their servers; files stay."""
    from appliance.cli import people

    require_root(Places.current())
    people.remove(Places.current(), Output(json, quiet), names, yes=yes)


@app.command()
def rename(
    name: Name,
    new: Annotated[str, typer.Argument(help="The new name.", metavar="NEW")],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give a user another name; account, files and rights stay."""
    from appliance.cli import people

    require_root(Places.current())
    people.rename(Places.current(), Output(json, quiet), name, new)


@app.command()
def approve(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Users' names.", metavar="NAME...", autocompletion=completion.user_names
        ),
    ] = None,
    *,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody who waits.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Let in people who signed up and wait."""
    from appliance.cli import people

    require_root(Places.current())
    if bool(names) == everybody:
        raise UsageError("cannot approve", why="give names, or --all", mend="appliance user list")
    people.approve(Places.current(), Output(json, quiet), names or [])


@app.command()
def lock(names: Names, *, quiet: Quiet = False, json: Json = False) -> None:
    """Keep users out; their sessions, tokens and servers end at once."""
    from appliance.cli import people

    require_root(Places.current())
    people.lock(Places.current(), Output(json, quiet), names)


@app.command()
def unlock(names: Names, *, quiet: Quiet = False, json: Json = False) -> None:
    """Let locked users in again."""
    from appliance.cli import people

    require_root(Places.current())
    people.unlock(Places.current(), Output(json, quiet), names)


@app.command()
def passwd(
    name: Name,
    *,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read the password from stdin, one line.")
    ] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make one and print it, once.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give a user a new password: asked for, from stdin, or generated."""
    from appliance.cli import people

    require_root(Places.current())
    if stdin and generate:
        raise UsageError("cannot do both", why="--stdin and --generate exclude each other")
    people.passwd(Places.current(), Output(json, quiet), name, stdin=stdin, generate=generate)


@app.command()
def link(name: Name, *, json: Json = False) -> None:
    """Print a set-up link, to choose a password with, once."""
    from appliance.cli import people

    require_root(Places.current())
    people.link(Places.current(), Output(json), name)


@app.command()
def admin(
    names: Names,
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the right away again.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make users admins."""
    from appliance.cli import people

    require_root(Places.current())
    people.set_admin(Places.current(), Output(json, quiet), names, admin=not revoke)
