"""How a command ends that can't do what it was asked: what is said, and the exit code."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from enum import IntEnum

from appliance.cli.output import printable
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places


class Exit(IntEnum):
    """Exit codes, as docs/cli.md says; 70, 77 and 78 are those of sysexits.h."""

    FAILED = 1
    USAGE = 2
    BUG = 70
    NEEDS_ROOT = 77
    CONFIGURATION = 78


class NeedsRootError(ApplianceError):
    """The command is root's."""


class UsageError(ApplianceError):
    """The command line itself is wrong."""


def require_root(places: Places) -> None:
    """Raise NeedsRootError unless this is root or a trial, where everything is the user's own."""
    if places.trial or os.geteuid() == 0:
        return
    raise NeedsRootError(
        "cannot do this as an ordinary user",
        why="only root may read and change the appliance",
        mend=f"sudo {shlex.join(['appliance', *sys.argv[1:]])}",
    )


def exit_code(error: BaseException) -> Exit:
    """The exit code that an error ends the command with."""
    match error:
        case ConfigError():
            return Exit.CONFIGURATION
        case NeedsRootError():
            return Exit.NEEDS_ROOT
        case UsageError():
            return Exit.USAGE
        case ApplianceError():
            return Exit.FAILED
        case _:
            return Exit.BUG


def print_error(error: BaseException, *, debug: bool) -> None:
    """Say on stderr what could not be done, why, and how to mend it."""
    if debug:
        traceback.print_exception(error)
    if isinstance(error, ConfigError):
        _print_problems(error)
        return
    if not isinstance(error, ApplianceError):
        error = ApplianceError(
            "cannot go on",
            why=f"an error in the program ({type(error).__name__}: {error})",
            mend="run the same command with --debug, and report what it prints",
        )
    red, plain = ("\x1b[1;31m", "\x1b[0m") if _has_colours() else ("", "")
    print(f"{red}error:{plain} {printable(error.what)}", file=sys.stderr)
    for label, lines in (
        ("why", [error.why] if error.why else []),
        ("log", list(error.log)),
        ("to mend", [to_mend(error.mend)] if error.mend else []),
    ):
        for number, line in enumerate(lines):
            print(f"  {'' if number else label:<9}{printable(line)}", file=sys.stderr)


def to_mend(text: str) -> str:
    """What mends it; in a trial nothing needs root, and root has no command."""
    return text.replace("sudo appliance ", "appliance ") if Places.current().trial else text


def _print_problems(error: ConfigError) -> None:
    for problem in error.problems:
        print(problem, file=sys.stderr)
    count = "1 problem" if len(error.problems) == 1 else f"{len(error.problems)} problems"
    print(f"{count}; {error.mend or 'nothing was changed'}.", file=sys.stderr)


def _has_colours() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
