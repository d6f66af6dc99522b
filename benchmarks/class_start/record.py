"""Make `lab_requests.txt`: one visit in Chromium to the peer, which runs JupyterLab as it comes.

Then one to ours: both must ask for the same, or the class would not be the same for both.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from benchmarks import workloads
from benchmarks.class_start import chromium, classroom, sequence
from benchmarks.console import say
from benchmarks.installed import Stage, sign_up
from benchmarks.side import Side

_USER: Final = "recorder"
_AFTER_MS: Final = 1000


def record(stage: Stage, folder: Path) -> None:
    """Record in machines below `folder`; what only one side was asked for is said."""
    recorded: dict[str, sequence.Sequence] = {}
    with stage.machine(folder, lambda *_: None) as machine:
        for side in stage.sides:
            sign_up(machine, side, [_USER])
            workloads.settle_down()
            version = side.versions(machine)["jupyterlab"]
            recorded[side.name] = _visit(side, classroom.Cell.of(stage.ours.packages), version)
            side.stop(machine, [_USER])
    first, *others = recorded
    sequence.FILE.write_text(sequence.form(recorded[first]))
    say(f"wrote {sequence.FILE}")
    for other in others:
        for text in differences(recorded[first], recorded[other]):
            say(f"{first} and {other} were asked differently: {text}")


def _visit(side: Side, cell: classroom.Cell, version: str) -> sequence.Sequence:
    say(f"{side.name}: recording a visit")
    with chromium.browser() as context:
        page = context.new_page()
        recorder = chromium.Recorder()
        recorder.watch(page)
        chromium.visit(page, side, _USER, cell.code, cell.expected)
        page.wait_for_timeout(_AFTER_MS)
        return recorder.recorded(page, f"What JupyterLab {version} asks for in Chromium.")


def differences(one: sequence.Sequence, other: sequence.Sequence) -> list[str]:
    """Requests (with the status of their answer) that were made more often in one of two visits."""
    counts = []
    for each in (one, other):
        waves = [*each.lab, *each.notebook]
        counts.append(Counter(f"{r.method} {r.path} {r.status}" for wave in waves for r in wave))
    more, less = counts[0] - counts[1], counts[1] - counts[0]
    return [f"- {text} ({number})" for text, number in more.items()] + [
        f"+ {text} ({number})" for text, number in less.items()
    ]
