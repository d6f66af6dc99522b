"""What `appliance doctor` and `appliance support-bundle` do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from appliance.cli.errors import Exit
from appliance.cli.output import Output, count, dim, has_colours, printable
from appliance.doctor.examine import examine
from appliance.doctor.report import Check, Report, State
from appliance.places import Places

_SIGNS: Final = {
    State.OK: "ok", State.WARNING: "warning", State.FAILED: "BROKEN", State.NOT_TRIED: "not tried",
}  # fmt: skip
_COLOURS: Final = {State.OK: "32", State.WARNING: "33", State.FAILED: "1;31", State.NOT_TRIED: "2"}


def doctor(places: Places, output: Output, *, fixes: bool) -> int:
    """Look at everything and say what is wrong; 1 if something is broken."""
    report = examine(places, fixes=fixes, tell=_teller(output))
    _clear_line()
    output.data(report.as_json(), text_of(report, quiet=output.quiet))
    return int(Exit.FAILED) if report.state is State.FAILED else 0


def text_of(report: Report, *, quiet: bool = False) -> str:
    """The report for people: one line for each check, and below it what to do."""
    lines: list[str] = []
    for title, checks in (
        ("From the browser to a cell", report.layers),
        ("Around it", report.checks),
    ):
        shown = [one for one in checks if not quiet or one.state in {State.WARNING, State.FAILED}]
        if shown:
            lines += [title, *(line for one in shown for line in _lines(one)), ""]
    return "\n".join([*lines, *_verdict(report, quiet=quiet)]).rstrip("\n")


def _lines(check: Check) -> list[str]:
    took = f" ({check.seconds:.1f} s)" if check.seconds is not None else ""
    summary = "" if check.state is State.NOT_TRIED else f"{printable(check.summary)}{dim(took)}"
    lines = [f"  {_sign(check.state)} {check.name:<15} {summary}".rstrip()]
    more = [("why", check.why)] if check.why else []
    more += [("log", line) for line in check.log]
    more += [("mended", text) for text in check.fixed]
    if check.state in {State.WARNING, State.FAILED} and check.mend:
        more.append(("to mend", check.mend))
    return lines + [
        f"  {'':<9} {'':<15}   {label + ':':<9}{printable(text)}" for label, text in more
    ]


def _sign(state: State) -> str:
    text = f"{_SIGNS[state]:<9}"
    return f"\x1b[{_COLOURS[state]}m{text}\x1b[0m" if has_colours() else text


def _verdict(report: Report, *, quiet: bool) -> list[str]:
    everything = [*report.layers, *report.checks]
    fixable = dict.fromkeys(one.name for one in everything if one.fix is not None)
    hint = f"sudo appliance doctor --fix mends: {', '.join(fixable)}" if fixable else ""
    broken = sum(one.state is State.FAILED for one in everything)
    warnings = sum(one.state is State.WARNING for one in everything)
    if report.broken:
        first = next(one for one in report.layers if one.state is State.FAILED)
        return [
            line for line in (f"The {first.name} layer is broken: {first.summary}.", hint) if line
        ]
    if broken:
        return [line for line in (f"{count(broken, 'thing')} broken.", hint) if line]
    if warnings:
        return [line for line in (f"It works; {count(warnings, 'warning')}.", hint) if line]
    return [] if quiet else ["All is well."]


def _teller(output: Output):  # type: ignore[no-untyped-def]
    """Says on a terminal what is under way, on one line that is written over."""

    def tell(text: str) -> None:
        if sys.stderr.isatty() and not output.quiet:
            print(f"\r\x1b[K{text} …", end="", file=sys.stderr, flush=True)

    return tell


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def bundle(places: Places, output: Output, file: str, *, lines: int, anonymous: bool) -> None:
    """Collect what a helper needs to see, without secrets."""
    from appliance.doctor.bundle import make_bundle

    made = make_bundle(
        places, Path(file) if file else None, lines=lines, anonymous=anonymous,
        tell=_teller(output),
    )  # fmt: skip
    _clear_line()
    owner = "you" if places.trial else "root"
    removed = [f"  {number:>5}  {kind}" for kind, number in sorted(made.removed.items())]
    text = "\n".join(
        [
            f"{made.path}",
            *([f"{sum(made.removed.values())} secrets were removed:", *removed] if removed else []),
            "It has the names of users and addresses; --anonymize hides them."
            if not anonymous
            else "Names of users and addresses were replaced.",
            f"Only {owner} can read it. Look into it before you send it: tar -xzf {made.path}",
        ]
    )
    output.done({"file": str(made.path), "removed": made.removed, "members": made.members}, text)
