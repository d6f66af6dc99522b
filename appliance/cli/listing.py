"""Groups of commands whose help says each command's whole first sentence, wrapped, not cut off."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

_LONGEST = 300


class Commands(TyperGroup):
    """What `--help` of a group lists."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, one.get_short_help_str(_LONGEST))
            for name, one in found
            if one and not one.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
