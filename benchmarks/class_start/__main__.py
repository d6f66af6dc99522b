"""`python3 -m benchmarks.class_start`: a class signs in, starts, opens JupyterLab, runs a cell."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.class_start import chromium, plot, rows, sequence
from benchmarks.class_start.record import record
from benchmarks.class_start.run import Run
from benchmarks.console import say
from benchmarks.installed import Stage

_PACKAGES = ("numpy", "pandas", "matplotlib")


def main() -> int:
    """Measure, print, draw, clean up; 1 with a sentence if the host can't do it."""
    options = _parser().parse_args()
    if (options.browser or options.record) and not _has_chromium():
        say(f"cannot run: there is no {chromium.EXECUTABLE}, or no Python package playwright")
        say("to mend: apt-get install chromium; run this with a Python that has playwright")
        return 1
    packages = tuple(options.packages)
    if options.record:
        return not command.measured(options, record, packages=packages)
    users = [f"student{number:02}" for number in range(options.users)]
    lab = sequence.parse(sequence.FILE.read_text())
    done: list[Run] = []

    def measure(stage: Stage, folder: Path) -> None:
        run = Run(stage, users, options.rounds, packages, options.browser, lab)
        done.append(run)
        run.measure(folder)

    came_through = False
    try:
        came_through = command.measured(options, measure, packages=packages)
    finally:
        # Also when the time is up.
        if done and not came_through:
            say(f"what was measured so far:\n{_table(done[0])}")
    if not came_through:
        return 1
    run = done[0]
    table = _table(run)
    if options.json:
        say(f"done\n{table}")
    print(json.dumps(_facts(run), indent=2) if options.json else table)
    if options.plot:
        title = f"A class of {len(users)}: students with their first output"
        options.plot.write_text(plot.svg(title, list(run.curves.values())))
        options.plot.with_suffix(".txt").write_text(f"{table}\n")
        say(f"the picture is {options.plot}, the table beside it")
    return 0


def _table(run: Run) -> str:
    return rows.table(run.figures, run.columns, run.about, run.notes)


def _parser() -> Any:
    parser = command.parser("python3 -m benchmarks.class_start", __doc__, rounds=1)
    parser.add_argument("--users", type=int, default=30, help="students of the class (%(default)s)")
    parser.add_argument(
        "--packages",
        nargs="*",
        default=_PACKAGES,
        metavar="NAME",
        help=f"what the first cell imports, installed on both sides ({' '.join(_PACKAGES)})",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.svg", help="draw the class there, with the table beside"
    )
    parser.add_argument(
        "--browser", action="store_true", help="measure single clicks in Chromium, too"
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="measure nothing: write down anew what JupyterLab in Chromium asks for",
    )
    return parser


def _has_chromium() -> bool:
    return bool(shutil.which(chromium.EXECUTABLE) and importlib.util.find_spec("playwright"))


def _facts(run: Run) -> dict[str, Any]:
    measured = {
        row.key: {
            "title": row.title,
            "unit": row.unit,
            **{
                column.name: {
                    "median": run.figures.median(row, column.name),
                    "rounds": run.figures.values[row.key][column.name],
                    "times_better": run.figures.times_better(row, column.name),
                }
                for column in run.columns
            },
        }
        for row in run.figures.rows
    }
    curves = {name: list(curve.seconds) for name, curve in run.curves.items()}
    return {"rows": measured, "outputs": curves, "sides": run.about, "notes": run.notes}


if __name__ == "__main__":
    sys.exit(main())
