"""What `appliance uninstall` does: say what goes and what stays, ask, and do it."""

from __future__ import annotations

import socket
import sys
from typing import Any

from appliance.cli.errors import Exit, UsageError
from appliance.cli.output import Output, count
from appliance.cli.upgrade import reporter_of
from appliance.errors import Conflict
from appliance.places import Places
from installer.point import exclusively
from installer.uninstall import Uninstall


def uninstall(places: Places, output: Output, *, purge: bool, yes: bool, dry_run: bool) -> int:
    if places.trial:
        raise Conflict(
            "cannot uninstall a trial by this command",
            why="it is nothing but its folder",
            mend=f"rm -r {places.state.parent}",
        )
    plan = Uninstall(places, purge=purge)
    facts = plan.facts() | {"servers": plan.running_servers()}
    if dry_run:
        output.data(facts, _text(facts))
        return 0
    if not yes:
        output.say(_text(facts))
        if not _agreed(purge=purge):
            output.say("Nothing was changed.")
            return int(Exit.FAILED)
    with exclusively():
        plan.apply(reporter_of(output))
    output.done(facts | {"done": True}, f"removed; to mend a mistake: {_again(purge=purge)}")
    return 0


def _text(facts: dict[str, Any]) -> str:
    lines = ["This removes:", *(f"  {path}" for path in facts["removes"])]
    if facts["accounts"]:
        lines.append(f"  {count(len(facts['accounts']), 'account')} with homes, all files included")
    lines += [f"and takes the mask from {unit}" for unit in facts["unmasks"]]
    if facts["servers"]:
        lines.append(f"and ends {count(len(facts['servers']), 'server')} that run now")
    lines += ["This stays:", *(f"  {what}" for what in facts["stays"])]
    return "\n".join(lines)


def _agreed(*, purge: bool) -> bool:
    """All files of all people are worth more than a y."""
    if not sys.stdin.isatty():
        raise UsageError("cannot ask", why="this is no terminal", mend="add --yes")
    name = socket.gethostname()
    question = f"Type the machine's name ({name}) to delete all of it: "
    sys.stderr.write(question if purge else "Go on? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    return answer == name if purge else answer.lower() in ("y", "yes")


def _again(*, purge: bool) -> str:
    if purge:
        return "restore a backup"
    return "run the installer again, which brings everything back"
