"""`appliance class …`: classes, who teaches them, and the end of their terms."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True, help="Classes, their teachers and archives.", rich_markup_mode=None
)

Name = Annotated[
    str,
    typer.Argument(
        help="A class's short name.", metavar="CLASS", autocompletion=completion.class_names
    ),
]
Number = Annotated[
    int, typer.Argument(help="An archive's number.", metavar="NUMBER", min=1, max=999_999_999)
]


@app.command("list")
def list_(*, json: Json = False) -> None:
    """List the classes."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.list_classes(Places.current(), Output(json))


@app.command()
def add(
    title: Annotated[str, typer.Argument(help="What people call it.", metavar="TITLE")],
    *,
    name: Annotated[
        str, typer.Option("--name", help="The short name; made of the title if not given.")
    ] = "",
    teacher: Annotated[
        str,
        typer.Option(
            "--teacher", help="Who teaches it; a new name gets an account and a password."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Make a class."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.add(Places.current(), Output(json), title, name=name, teacher=teacher)


@app.command()
def show(name: Name, *, json: Json = False) -> None:
    """Show a class: teachers, rules, how many are in it."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.show(Places.current(), Output(json), name)


@app.command()
def change(
    name: Name,
    *,
    title: Annotated[str | None, typer.Option("--title", help="What people call it.")] = None,
    approve: Annotated[
        bool | None,
        typer.Option("--approve/--no-approve", help="Who joins by a code waits for a teacher."),
    ] = None,
    freeze: Annotated[
        bool | None, typer.Option("--freeze/--no-freeze", help="Nobody joins by a code.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Change a class's title or rules."""
    from appliance.cli import class_work

    require_root(Places.current())
    given = {"title": title, "must_approve": approve, "frozen": freeze}
    values = {key: value for key, value in given.items() if value is not None}
    if not values:
        raise UsageError("cannot change the class", why="nothing to change is given")
    class_work.change(Places.current(), Output(json, quiet), name, values)


@app.command()
def teacher(
    name: Name,
    user: Annotated[
        str, typer.Argument(help="A user's name.", autocompletion=completion.user_names)
    ],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take the class away again.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Let somebody teach a class; a new name gets an account and a password."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.teacher(Places.current(), Output(json, quiet), name, user, remove=remove)


class Expires(StrEnum):
    """How long a join code works."""

    HOUR = "hour"
    TODAY = "today"
    WEEK = "week"
    TERM = "term"
    NEVER = "never"


@app.command()
def invite(
    name: Name,
    *,
    expires: Annotated[
        Expires, typer.Option("--expires", help="How long it works; a term has 20 weeks.")
    ] = Expires.WEEK,
    uses: Annotated[
        int | None, typer.Option("--uses", help="For how many people.", min=1, max=10_000)
    ] = None,
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    json: Json = False,
) -> None:
    """Make a join code and print it with its link."""
    from appliance.cli import class_codes

    require_root(Places.current())
    class_codes.invite(
        Places.current(), Output(json), name, expires=expires.value, uses=uses, note=note
    )


@app.command()
def invites(name: Name, *, json: Json = False) -> None:
    """List a class's join codes."""
    from appliance.cli import class_codes

    require_root(Places.current())
    class_codes.list_invites(Places.current(), Output(json), name)


@app.command()
def uninvite(
    name: Name,
    number: Annotated[
        int, typer.Argument(help="A join code's number.", metavar="NUMBER", min=1, max=999_999_999)
    ],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take a join code back; who has joined stays."""
    from appliance.cli import class_codes

    require_root(Places.current())
    class_codes.uninvite(Places.current(), Output(json, quiet), name, number)


@app.command("take-out")
def take_out(
    name: Name,
    users: Annotated[
        list[str],
        typer.Argument(
            help="Users' names.", metavar="NAME...", autocompletion=completion.user_names
        ),
    ],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Take people out of a class; accounts and homes stay."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.take_out(Places.current(), Output(json, quiet), name, users)


@app.command("say")
def say_(
    name: Name,
    text: Annotated[
        str, typer.Argument(help="What to say; - reads it from stdin.", metavar="TEXT")
    ],
    *,
    hours: Annotated[
        int,
        typer.Option("--hours", help="For how long, if nobody reads it before.", min=1, max=336),
    ] = 12,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say something to a class: it appears in everybody's JupyterLab."""
    from appliance.cli import messages

    require_root(Places.current())
    messages.say(Places.current(), Output(json, quiet), text, group=name, hours=hours)


@app.command()
def remove(name: Name, *, yes: Yes = False, quiet: Quiet = False, json: Json = False) -> None:
    """Delete a class and its folder, without an archive; accounts and homes stay."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.remove(Places.current(), Output(json, quiet), name, yes=yes)


@app.command()
def archive(
    name: Name,
    *,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin an empty class of the same name.")
    ] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """End the term: files and people into an archive, accounts of this class alone go."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.archive(Places.current(), Output(json, quiet), name, anew=anew, yes=yes)


@app.command()
def archives(*, json: Json = False) -> None:
    """List the archives."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.list_archives(Places.current(), Output(json))


@app.command()
def restore(
    number: Number,
    *,
    name: Annotated[str, typer.Option("--name", help="A short name, if not the one it had.")] = "",
    json: Json = False,
) -> None:
    """Make a class again with the people of an archive; its files stay where they are."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.restore(Places.current(), Output(json), number, name=name)


@app.command("remove-archive")
def remove_archive(
    number: Number, *, yes: Yes = False, quiet: Quiet = False, json: Json = False
) -> None:
    """Delete an archive with its files, for good."""
    from appliance.cli import class_work

    require_root(Places.current())
    class_work.remove_archive(Places.current(), Output(json, quiet), number, yes=yes)
