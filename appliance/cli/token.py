"""`appliance token …`: API tokens, with which programs act for a user."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli import completion
from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.places import Places

app = typer.Typer(
    no_args_is_help=True, help="API tokens, with which programs act for a user.",
    rich_markup_mode=None,
)  # fmt: skip

User = Annotated[
    str, typer.Argument(help="A user.", metavar="USER", autocompletion=completion.user_names)
]


@app.command()
def add(
    user: User,
    *,
    note: Annotated[str, typer.Option(help="What it is for, for those who look later.")] = "",
    expires: Annotated[
        str, typer.Option(help="How long it lasts, such as 12h or 30d.", metavar="TIME")
    ] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; again for more. Without it: all that the user may."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token of a user's and print it, this once."""
    from appliance.cli import api_tokens

    require_root(Places.current())
    api_tokens.add(
        Places.current(), Output(json), user, note=note, expires=expires, scopes=scope or []
    )


@app.command("list")
def list_(user: User, *, json: Json = False) -> None:
    """List a user's tokens, without their secrets."""
    from appliance.cli import api_tokens

    require_root(Places.current())
    api_tokens.list_tokens(Places.current(), Output(json), user)


@app.command()
def revoke(
    user: User,
    tokens: Annotated[
        list[str], typer.Argument(help="Ids, as `token list` shows them.", metavar="ID...")
    ],
    *,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Revoke tokens: from now on they open nothing."""
    from appliance.cli import api_tokens

    require_root(Places.current())
    api_tokens.revoke(Places.current(), Output(json, quiet), user, tokens)
