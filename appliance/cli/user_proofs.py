"""More of `appliance user …`: how users prove who they are, and where they are logged in."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli.errors import require_root
from appliance.cli.options import Json, Quiet
from appliance.cli.output import Output
from appliance.cli.user import Name, app
from appliance.places import Places

__all__ = ["app"]


@app.command("reset-factors")
def reset_factors(name: Name, *, quiet: Quiet = False, json: Json = False) -> None:
    """Forget a user's second factor and passkeys, for who lost the phone."""
    from appliance.cli import proofs

    require_root(Places.current())
    proofs.reset_factors(Places.current(), Output(json, quiet), name)


@app.command("allow-tries")
def allow_tries(name: Name, *, quiet: Quiet = False, json: Json = False) -> None:
    """Let a user log in at once who failed too often and has to wait."""
    from appliance.cli import proofs

    require_root(Places.current())
    proofs.allow_tries(Places.current(), Output(json, quiet), name)


@app.command()
def sessions(
    name: Name,
    *,
    end: Annotated[bool, typer.Option("--end", help="Log the user out everywhere.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the browsers in which a user is logged in."""
    from appliance.cli import proofs

    require_root(Places.current())
    proofs.sessions(Places.current(), Output(json, quiet), name, end=end)
