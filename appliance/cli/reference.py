"""docs/cli.md, made from the commands themselves: `python -m appliance.cli.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from appliance.cli.app import app
from appliance.cli.shapes import SHAPES

_HEAD: Final = """\
# The command `appliance`

<!-- Generated from appliance/cli by `python -m appliance.cli.reference`. -->

Commands that read or change the appliance are root's: put `sudo` before them. In a trial they are
the user's own, by `bin/appliance` in the trial's folder.

- **Data goes to stdout, talk and errors to stderr.** Colours are for terminals, and `NO_COLOR`
  turns them off there. `--quiet` says nothing unless something fails.
- **No question without an option that answers it**: `--yes`, `--stdin`, `--generate`. Where there
  is no terminal nothing is asked.
- **Passwords and other secrets never stand in a command line**: they are asked for, or read from
  stdin.
- **An error has three parts**: what could not be done, why, and what mends it. `--debug`, anywhere
  in the command, adds where in the program it comes from.
- **Completion** for bash, zsh and fish: `appliance --install-completion`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | refused, or failed |
| 2 | the command line is wrong |
| 70 | an error in the program; please report it |
| 77 | only root may |
| 78 | the configuration is wrong; each problem is named with file, line and column |

Every command has `--json`. With it, a command prints one JSON value on stdout, of the shape shown
below it. Names in these shapes are kept; new ones may be added. Errors stay text on stderr.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_parts("", typer.main.get_command(app), "##")])


def _parts(above: str, group: Any, level: str) -> Iterator[str]:
    for name, command in _children(group):
        whole = f"{above}{name}"
        if not _children(command):
            yield _section(whole, command, level)
            continue
        yield f"{level} appliance {whole}\n\n{_help(command)}\n"
        yield from _parts(f"{whole} ", command, "###")


def command_names() -> list[str]:
    """Every command that does something."""
    return list(_names("", typer.main.get_command(app)))


def _names(above: str, group: Any) -> Iterator[str]:
    for name, command in _children(group):
        if _children(command):
            yield from _names(f"{above}{name} ", command)
        else:
            yield f"{above}{name}"


def _children(command: Any) -> list[tuple[str, Any]]:
    return list(getattr(command, "commands", {}).items())


def _help(command: Any) -> str:
    return str(command.help or "").strip().split("\n")[0]


def _section(name: str, command: Any, level: str) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option"]
    usage = " ".join([f"appliance {name}", *(one.metavar or one.name for one in arguments)])
    lines = [f"{level} {usage}", "", _help(command), ""]
    lines += [f"- `{one.metavar}`: {one.help}" for one in arguments if one.help]
    lines += [
        f"- `{', '.join(one.opts)}`: {one.help}"
        for one in options
        if one.help and "--json" not in one.opts
    ]
    example, _, remark = SHAPES[name].partition("\n\n")
    lines += ["", "```json", example, "```", ""]
    if remark:
        lines += [remark, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parents[2] / "docs"
    (folder / "cli.md").write_text(page(), "utf-8")
