"""Groups of commands: what their help lists, and what somebody meant whose word is none of them."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final

from typer.core import TyperGroup

from appliance.cli.errors import UsageError

_LONGEST: Final = 300
_OFFERED: Final = 3

# What other programs call it, and the commands that do this here; a group has one of them, or none.
_OTHER_WORDS: Final = {
    "block": ("lock",),
    "create": ("add",),
    "del": ("remove", "delete", "revoke"),
    "delete": ("remove", "revoke"),
    "destroy": ("remove", "delete", "revoke"),
    "disable": ("lock", "off"),
    "edit": ("change",),
    "enable": ("unlock", "on"),
    "info": ("show", "status"),
    "ls": ("list",),
    "new": ("add", "create"),
    "password": ("passwd",),
    "restart": ("reload", "stop"),
    "rm": ("remove", "delete", "revoke"),
    "show": ("list", "status"),
    "uninstall": ("remove",),
    "update": ("upgrade", "change"),
}
# The same where the answer isn't a command of that group.
_OTHER_WORDS_AT_THE_TOP: Final = {
    "certificate": "https",
    "check": "doctor",
    "health": "doctor",
    "pip": "env install",
    "quota": "disk",
    "reload": "config reload",
    "restart": "config reload",
    "settings": "config",
    "ssl": "https",
    "tls": "https",
}


class Commands(TyperGroup):
    """Its help says each command's whole first sentence, wrapped, not cut off."""

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

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Raises UsageError for a word that is no command, with what was probably meant."""
        word = args[0]
        if ctx.resilient_parsing or word.startswith("-") or self.get_command(ctx, word):
            return super().resolve_command(ctx, args)
        program = ctx.find_root().command_path
        meant = [f"{program} {one}" for one in self._meant(word, ctx)]
        raise UsageError(
            f"cannot find the command '{ctx.command_path} {word}'",
            why=f"there is none; did you mean {' or '.join(meant)}?" if meant else "there is none",
            mend=f"{meant[0] if meant else ctx.command_path} --help",
        )

    def _meant(self, word: str, ctx: Any) -> list[str]:
        """The likeliest first, each as it follows the program's name."""
        path = ctx.command_path.split()[1:]
        other_words = [name for name in _OTHER_WORDS.get(word, ()) if name in self.commands]
        alike = get_close_matches(word, self.commands)
        named_so = [one for one in _paths(ctx.find_root().command) if one.split()[-1] == word]
        if path:
            elsewhere = [one for one in named_so if one == word]
        elif word in _OTHER_WORDS_AT_THE_TOP:
            elsewhere = [_OTHER_WORDS_AT_THE_TOP[word]]
        else:
            elsewhere = sorted(named_so, key=len)
        found = [
            *(" ".join([*path, name]) for name in other_words),
            *elsewhere,
            *(" ".join([*path, name]) for name in alike),
        ]
        return list(dict.fromkeys(found))[:_OFFERED]


def _paths(group: TyperGroup, start: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        yield f"{start}{name}"
        if isinstance(command, TyperGroup):
            yield from _paths(command, f"{start}{name} ")
