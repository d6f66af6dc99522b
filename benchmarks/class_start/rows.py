"""The rows of the class's table, and its columns: the peer and three ways to set ours up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.figures import Figures, Row
from benchmarks.report import number

_STEPS: Final = {
    "server": "log-in to the server's first answer",
    "page": "log-in to JupyterLab's page",
    "lab": "log-in to JupyterLab, all requests",
    "kernel": "log-in to the kernel's first reply",
    "output": "log-in to the first cell's output",
}


def _spread(prefix: str, key: str, title: str) -> tuple[Row, ...]:
    return (
        Row(f"{prefix}_{key}_p50", f"{title}, p50", "s"),
        Row(f"{prefix}_{key}_p95", f"{title}, p95", "s"),
        Row(f"{prefix}_{key}_last", f"{title}, last", "s"),
    )


def _starts(prefix: str, count: str) -> tuple[Row, ...]:
    return (
        *_spread(prefix, "answer", f"{count} clicks at once, to the server's answer"),
        Row(f"{prefix}_cpu", f"{count} clicks at once, CPU of everything, each", "CPU s"),
        Row(f"{prefix}_unit_cpu", "of that, the server's unit", "CPU s"),
    )


ROWS: Final = (
    Row("first_wall", "a user's first start ever, to the server's answer", "s"),
    Row("spawn_wall", "one click on start, to the server's answer", "s"),
    Row("spawn_cpu", "one click on start, CPU of everything", "CPU s"),
    Row("spawn_server_cpu", "of that, the server's unit", "CPU s"),
    Row("lab_wall", "then JupyterLab's page, signed in by OAuth", "s"),
    Row("lab_cpu", "one click and JupyterLab's page, CPU of everything", "CPU s"),
    *_starts("class", "all students'"),
    *_starts("twenty", "20"),
    Row("idle_private", "idle server after that, private memory", "MB"),
    Row("idle_pss", "idle server after that, PSS", "MB"),
    Row("idle_total", "everything in the machine with those, PSS", "MB"),
    Row("idle_anonymous", "of that, anonymous", "MB"),
    *(Row(f"one_{key}_p50", f"one student: {title}", "s") for key, title in _STEPS.items()),
    *(row for key, title in _STEPS.items() for row in _spread("all", key, f"class: {title}")),
    Row("all_wall", "the class, from opening the log-in page to the last output", "s"),
    Row("all_cpu", "the class, CPU of everything, for each student", "CPU s"),
    Row("all_unit_cpu", "of that, the server's unit with its kernel", "CPU s"),
    Row("kernel_private", "server and kernel after that, private memory", "MB"),
    Row("kernel_pss", "server and kernel after that, PSS", "MB"),
    Row("kernel_total", "everything in the machine with those, PSS", "MB"),
    Row("kernel_anonymous", "of that, anonymous", "MB"),
    Row("preload_pss", "of that, the preload daemons", "MB"),
    Row("preload_private", "private memory of the preload daemons", "MB"),
    Row("click_empty_lab", "Chromium, empty cache: log-in button to JupyterLab", "s"),
    Row("click_empty_output", "Chromium, empty cache: log-in button to output", "s"),
    Row("click_warm_lab", "Chromium, warm cache: log-in button to JupyterLab", "s"),
    Row("click_warm_output", "Chromium, warm cache: log-in button to output", "s"),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A column: a side, and settings of ours that make it another one."""

    name: str
    title: str
    settings: Mapping[str, tuple[str, ...]]

    @property
    def is_ours(self) -> bool:
        return self.name != "peer"


def variants(packages: tuple[str, ...], only: str | None) -> list[Variant]:
    """The columns in the order in which they are measured."""
    kept = {"servers.start_at_login": ("false",)}
    off = {"preload.servers": ("false",), "preload.kernels": ("false",), "preload.packages": ()}
    on: dict[str, tuple[str, ...]] = dict.fromkeys(off, ())
    found = [
        Variant("peer", "the peer", {}),
        Variant("cold", "ours, cold", off | kept),
        Variant("preloaded", "ours, preloaded", on | kept),
    ]
    if packages:
        title = "ours, with packages preloaded"
        found.append(Variant("packages", title, on | kept | {"preload.packages": packages}))
    return [one for one in found if only is None or one.is_ours == (only == "ours")]


def table(
    figures: Figures, columns: list[Variant], about: Mapping[str, Any], notes: list[str]
) -> str:
    """Each row's medians, and beside each of ours how many times better it is than the peer."""
    head = "".join(
        f" {one.name:>9} {'times':>5}" if one.is_ours else f" {one.name:>9}" for one in columns
    )
    lines = [f"{'':64}{head} unit"]
    for row in figures.rows:
        if all(figures.median(row, one.name) is None for one in columns):
            continue
        cells = ""
        for one in columns:
            cells += f" {number(figures.median(row, one.name)):>9}"
            if one.is_ours:
                cells += f" {number(figures.times_better(row, one.name)):>5}"
        lines.append(f"{row.title:64}{cells} {row.unit}")
    lines += ["", *(f"{one.name}: {one.title}" for one in columns)]
    for side, known in about.items():
        versions = ", ".join(f"{name} {text}" for name, text in known["versions"].items())
        lines.append(f"{side}: bcrypt cost {known['bcrypt_cost']}; {versions}")
    return "\n".join([*lines, "", *notes])
