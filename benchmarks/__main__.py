"""`python3 -m benchmarks`: make a machine, install both sides, measure them in turns."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import report
from benchmarks.command import measured, parser
from benchmarks.console import say
from benchmarks.installed import Stage
from benchmarks.run import Run


def main() -> int:
    """Measure, print, clean up; 1 with a sentence if the host can't do it."""
    options = parser("python3 -m benchmarks", __doc__, rounds=3).parse_args()
    done: list[Run] = []

    def measure(stage: Stage, folder: Path) -> None:
        run = Run(stage, options.rounds)
        run.measure(folder)
        done.append(run)

    if not measured(options, measure):
        return 1
    run = done[0]
    table = report.table(run.figures, run.about)
    if options.json:
        say(f"done\n{table}")
    print(report.as_json(run.figures, run.about) if options.json else table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
