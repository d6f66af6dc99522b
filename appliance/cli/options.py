"""Options that many commands have, declared once so that they read the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from appliance.cli import completion

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something fails.")]
Lines = Annotated[int, typer.Option("-n", "--lines", min=0, help="How many lines.")]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
UserOrAll = Annotated[
    str,
    typer.Argument(
        help="A user; else everybody.", metavar="[USER]", autocompletion=completion.user_names
    ),
]
NoRollback = Annotated[
    bool,
    typer.Option("--no-rollback", help="Keep the change even if the appliance doesn't answer."),
]
