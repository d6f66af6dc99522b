"""`python3 -m benchmarks.exposure`: how exposed our units are, by `systemd-analyze security`.

From 0 to 10, and lower is better. Of the units in a checkout it needs no machine; with --running it
asks systemd for those that run here, users' servers and services among them.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

UNITS: Final = Path(__file__).resolve().parents[1] / "units"
_OVERALL: Final = re.compile(r"Overall exposure level for (\S+): ([0-9.]+) (\w+)")
_HOLE: Final = re.compile(r"^✗ (.+?)  +.*?([0-9]\.[0-9])$", re.MULTILINE)
_HOLES: Final = 3


@dataclass(frozen=True, slots=True)
class Exposure:
    """A unit's score, and what weighs most in it."""

    unit: str
    score: float
    word: str
    holes: list[str]


def parse(text: str) -> Exposure | None:
    """What systemd-analyze printed about one unit; None if it printed no score."""
    overall = _OVERALL.search(text)
    if overall is None:
        return None
    holes = sorted(
        ((float(weight), name.strip()) for name, weight in _HOLE.findall(text)),
        key=lambda one: (-one[0], one[1]),
    )
    unit = overall[1].removesuffix(".service")
    return Exposure(unit, float(overall[2]), overall[3], [name for _, name in holes[:_HOLES]])


def of_files(units: Path) -> list[Exposure]:
    """Of unit files that needn't be installed."""
    return _measured((str(path), "--offline=yes") for path in sorted(units.glob("*.service")))


def of_running() -> list[Exposure]:
    """Of all of ours that run on this machine."""
    done = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", "--full", "appliance-*.service"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return _measured((line.split()[0],) for line in done.stdout.splitlines() if line.split())


def _measured(commands: Iterable[tuple[str, ...]]) -> list[Exposure]:
    found = []
    for unit, *options in commands:
        done = subprocess.run(
            ["systemd-analyze", "security", "--no-pager", *options, "--", unit],
            capture_output=True, text=True, check=False, env={"LANG": "C.UTF-8", "PATH": _PATH},
        )  # fmt: skip
        exposure = parse(done.stdout)
        if exposure is None:
            raise RuntimeError(
                f"cannot measure {unit}: {done.stderr.strip() or done.stdout[-200:]}"
            )
        found.append(exposure)
    return sorted(found, key=lambda one: (one.score, one.unit))


_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def table(found: list[Exposure]) -> str:
    """In Markdown, as docs/security.md has it."""
    lines = ["| unit | score | in words | what weighs most |", "|---|---:|---|---|"]
    lines += [
        f"| `{one.unit}` | {one.score:.1f} | {one.word} | "
        f"{', '.join(one.holes).replace('|', '/')} |"
        for one in found
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure and print; 1 with a sentence if the host can't do it."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.exposure", description=__doc__)
    parser.add_argument("--running", action="store_true", help="the units that run on this machine")
    parser.add_argument("--units", type=Path, default=UNITS, help="a folder of units")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        found = of_running() if options.running else of_files(options.units)
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"cannot measure: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(one) for one in found], indent=1) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
