"""What `appliance isolation` does."""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Final

from appliance.cli.errors import Exit
from appliance.cli.output import Output, count, has_colours, printable
from appliance.errors import BadRequest
from appliance.isolation.attempts import Verdict
from appliance.isolation.examine import Report, examine, note
from appliance.places import Places

_SIGNS: Final = {Verdict.OK: "ok", Verdict.FAILED: "FAILED", Verdict.OPEN: "open"}
_COLOURS: Final = {Verdict.OK: "32", Verdict.FAILED: "1;31", Verdict.OPEN: "33"}


def test(places: Places, output: Output) -> int:
    """Try everything and say how it went; 1 if something succeeded that shouldn't."""
    if places.trial:
        raise BadRequest(
            "cannot test the isolation",
            why="in a trial all servers run as one user: nothing keeps them apart",
            mend="install the appliance",
        )

    def tell(text: str) -> None:
        if sys.stderr.isatty() and not output.quiet:
            print(f"{text} …", file=sys.stderr)

    report = examine(places, tell=tell)
    note(places, report)
    output.data(report.as_json(), text_of(report, quiet=output.quiet))
    return int(Exit.FAILED) if report.failed else 0


def text_of(report: Report, *, quiet: bool) -> str:
    """The report for people: a line for each attempt."""
    lines = []
    for line in report.lines:
        if quiet and line.verdict is not Verdict.FAILED:
            continue
        lines.append(f"{_sign(line.verdict)} {printable(line.what)}")
        if line.verdict is Verdict.FAILED:
            lines.append(f"{'':<8} expected: {printable(line.expected)}")
        lines.append(f"{'':<8} {printable(_in_words(line.happened))}")
    if report.failed:
        failed = count(len(report.failed), "attempt", "attempts")
        lines.append(f"{failed} succeeded that should not have: servers are not kept apart here.")
    elif not quiet:
        lines.append(f"All {len(report.lines)} attempts ended as they should.")
    return "\n".join(lines)


def _in_words(happened: str) -> str:
    """With an error of Linux's in words; programs get its name."""
    refused = re.fullmatch(r"refused \((E[A-Z0-9]+)\)", happened)
    number = getattr(errno, refused[1], None) if refused else None
    return f"refused: {os.strerror(number).lower()}" if number else happened


def _sign(verdict: Verdict) -> str:
    text = f"{_SIGNS[verdict]:<8}"
    return f"\x1b[{_COLOURS[verdict]}m{text}\x1b[0m" if has_colours() else text
