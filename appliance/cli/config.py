"""`appliance config …`: look at settings, change them, make them take effect."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import UsageError, require_root
from appliance.cli.options import Json, NoRollback, Quiet, Yes
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True,
    help="Settings: look, change, make them take effect.",
    rich_markup_mode=None,
)

Key = Annotated[
    str,
    typer.Argument(
        help="A setting, such as limits.memory or services.culler.url.",
        metavar="KEY",
        autocompletion=completion.setting_names,
    ),
]
ListKey = Annotated[
    str,
    typer.Argument(
        help="A list or map, such as http.trusted_proxies or roles.teachers.users.",
        metavar="KEY",
        autocompletion=completion.list_names,
    ),
]
Items = Annotated[list[str], typer.Argument(help="Items; NAME=VALUE for a map.", metavar="ITEM...")]
Secrets = Annotated[bool, typer.Option("--secrets", help="Show secrets, too.")]


@app.command()
def show(
    key: Annotated[
        str,
        typer.Argument(
            help="A group, such as limits or services.culler.",
            metavar="[GROUP]",
            autocompletion=completion.group_names,
        ),
    ] = "",
    *,
    secrets: Secrets = False,
    json: Json = False,
) -> None:
    """Print every setting as it is in the file, defaults included; or those of a group."""
    from appliance.cli import settings_view

    require_root(Places.current())
    settings_view.show(Places.current(), Output(json), key, secrets=secrets)


@app.command()
def get(key: Key, *, secrets: Secrets = False, json: Json = False) -> None:
    """Print one setting's value."""
    from appliance.cli import settings_view

    require_root(Places.current())
    settings_view.get(Places.current(), Output(json), key, secrets=secrets)


@app.command("set")
def set_(
    key: Key,
    value: Annotated[
        list[str] | None,
        typer.Argument(
            help="The value; several for a list, NAME=VALUE for a map; [lists] and {maps} as in \
YAML. Secrets are asked for instead.",
            metavar="[VALUE...]",
            autocompletion=completion.setting_values,
        ),
    ] = None,
    *,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the value from stdin.")] = False,
    no_rollback: NoRollback = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Change a setting and make it take effect."""
    from appliance.cli import settings_change

    require_root(Places.current())
    words = settings_change.read_words(key, value or [], from_stdin=stdin)
    settings_change.set_value(
        Places.current(), Output(json, quiet), key, words, roll_back=not no_rollback, yes=yes
    )


@app.command()
def unset(
    key: Key,
    *,
    no_rollback: NoRollback = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Give a setting or a group its default again; take a service or role away."""
    from appliance.cli import settings_change

    require_root(Places.current())
    settings_change.unset(
        Places.current(), Output(json, quiet), key, roll_back=not no_rollback, yes=yes
    )


@app.command()
def add(
    key: ListKey,
    items: Items,
    *,
    no_rollback: NoRollback = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Add items to a setting that is a list or a map."""
    from appliance.cli import settings_change

    require_root(Places.current())
    settings_change.add(
        Places.current(), Output(json, quiet), key, items, roll_back=not no_rollback
    )


@app.command()
def remove(
    key: ListKey,
    items: Items,
    *,
    no_rollback: NoRollback = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Remove items from a setting that is a list or a map."""
    from appliance.cli import settings_change

    require_root(Places.current())
    settings_change.remove(
        Places.current(), Output(json, quiet), key, items, roll_back=not no_rollback
    )


@app.command()
def explain(
    key: Annotated[
        str,
        typer.Argument(
            help="A setting or a group.", metavar="[KEY]", autocompletion=completion.setting_names
        ),
    ] = "",
    *,
    json: Json = False,
) -> None:
    """Say what a setting means and what it may be."""
    from appliance.cli import settings_view

    settings_view.explain(Places.current(), Output(json), key)


@app.command()
def edit(
    *,
    discard: Annotated[
        bool, typer.Option("--discard", help="Begin anew, not with the draft left from last time.")
    ] = False,
    no_rollback: NoRollback = False,
    yes: Yes = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Open the file in $EDITOR, check it, and make it take effect."""
    from appliance.cli import settings_change

    require_root(Places.current())
    settings_change.edit(
        Places.current(), Output(json, quiet), discard=discard, roll_back=not no_rollback, yes=yes
    )


@app.command()
def check(
    file: Annotated[
        str, typer.Argument(help="A file; without it, the appliance's own.", metavar="[FILE]")
    ] = "",
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check the file, and say what a reload would change."""
    from appliance.cli import settings_view

    if not file:
        require_root(Places.current())
    settings_view.check(Places.current(), Output(json, quiet), file)


@app.command()
def reload(
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Tell every program, even if nothing has changed.")
    ] = False,
    render_only: Annotated[
        bool,
        typer.Option("--render-only", help="Write what the programs read and tell none of them."),
    ] = False,
    no_rollback: NoRollback = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Make the file take effect as it is now."""
    from appliance.cli import settings_change

    require_root(Places.current())
    if render_only and force:
        raise UsageError("cannot use --force with --render-only", why="they say opposite things")
    if render_only:
        settings_change.render(Places.current(), Output(json, quiet))
    else:
        settings_change.reload(
            Places.current(), Output(json, quiet), force=force, roll_back=not no_rollback
        )
