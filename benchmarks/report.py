"""The table for people and the JSON for programs."""

from __future__ import annotations

import json
import os
import re
from typing import Any

from benchmarks.figures import ROWS, Figures
from benchmarks.machine import Machine
from benchmarks.side import Side


def bcrypt_costs(machine: Machine, side: Side) -> list[int]:
    """The costs in the password hashes that the side stored, read from its database file."""
    database = machine.inside(side.database)
    stored = b"".join(
        path.read_bytes() for path in database.parent.glob(database.name + "*") if path.is_file()
    )
    return sorted({int(cost) for cost in re.findall(rb"\$2[aby]\$(\d\d)\$", stored)})


def facts(machine: Machine, side: Side) -> dict[str, Any]:
    """What the figures of a side depend on."""
    return {"bcrypt_cost": bcrypt_costs(machine, side), "versions": side.versions(machine)}


def table(figures: Figures, about: dict[str, dict[str, Any]]) -> str:
    """One line for each measured row, then what the sides are."""
    lines = [f"{'':58} {'peer':>9} {'ours':>9} {'unit':6} {'times better':>12}"]
    for row in ROWS:
        peer, ours = figures.median(row, "peer"), figures.median(row, "ours")
        if peer is None and ours is None:
            continue
        better = figures.times_better(row)
        lines.append(
            f"{row.title:58} {number(peer):>9} {number(ours):>9} {row.unit:6} {number(better):>12}"
        )
    for side, known in about.items():
        versions = ", ".join(f"{name} {text}" for name, text in known["versions"].items())
        lines.append(f"\n{side}: bcrypt cost {known['bcrypt_cost']}; {versions}")
    lines.append(f"\nhost: {os.cpu_count()} cores, load average {os.getloadavg()[2]:.1f} (15 min)")
    return "\n".join(lines)


def as_json(figures: Figures, about: dict[str, dict[str, Any]]) -> str:
    """Medians, every round's values and the ratios, by row key."""
    rows = {
        row.key: {
            "title": row.title,
            "unit": row.unit,
            "more_is_better": row.more_is_better,
            "peer": figures.median(row, "peer"),
            "ours": figures.median(row, "ours"),
            "times_better": figures.times_better(row),
            "rounds": {side: values for side, values in figures.values[row.key].items() if values},
        }
        for row in ROWS
    }
    return json.dumps({"rows": rows, "sides": about}, indent=2)


def number(value: float | None) -> str:
    """Three digits or so; a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
