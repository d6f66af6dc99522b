"""How a class comes in, as a picture: students with a first output over the seconds.

An SVG file of its own with both colour schemes: it is readable in a page of either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 28, 96, 52
_STYLE: Final = """
  svg { --paper: #ffffff; --ink: #1c2330; --faint: #5d6675; --line: #dfe3ea;
        --c0: #b4470e; --c1: #6b7280; --c2: #1d5fd1; --c3: #0c7a5b; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #14181f; --ink: #e8ecf3; --faint: #a2acbb; --line: #2c3440;
          --c0: #f59a62; --c1: #a9b1bd; --c2: #7fb0ff; --c3: #56cfa5; } }
  text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--faint); }
  .title { font-size: 18px; font-weight: 600; fill: var(--ink); }
  .name { font-weight: 600; }
  .grid { stroke: var(--line); stroke-width: 1; }
  .curve { fill: none; stroke-width: 2.5; stroke-linejoin: round; }
"""


@dataclass(frozen=True, slots=True)
class Curve:
    """One side's students: the seconds after which each had an output, in order."""

    title: str
    seconds: Sequence[float]


def svg(title: str, curves: Sequence[Curve]) -> str:
    """The whole file."""
    students = max(len(curve.seconds) for curve in curves)
    step = _round_step(max(curve.seconds[-1] for curve in curves) / 8)
    last = step * math.ceil(max(curve.seconds[-1] for curve in curves) / step)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
            f' width="{_WIDTH}" height="{_HEIGHT}">'
        ),
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(_described(curves))}</desc>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="10" style="fill: var(--paper)"/>',
        f'<text class="title" x="{_LEFT}" y="34">{escape(title)}</text>',
    ]
    lines += _axes(last, step, students)
    for number, curve in enumerate(curves):
        lines += _drawn(number, curve, last, students)
    return "\n".join([*lines, "</svg>", ""])


def _described(curves: Sequence[Curve]) -> str:
    return "; ".join(
        f"{curve.title}: first {curve.seconds[0]:.1f} s, last {curve.seconds[-1]:.1f} s"
        for curve in curves
    )


def _x(seconds: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last


def _y(count: float, students: int) -> float:
    return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * count / students


def _axes(last: float, step: float, students: int) -> list[str]:
    lines = []
    for number in range(round(last / step) + 1):
        x, bottom = _x(number * step, last), _HEIGHT - _BOTTOM
        lines.append(f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>')
        lines.append(
            f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{number * step:g}</text>'
        )
    count_step = max(1, round(_round_step(students / 6)))
    for count in [*range(0, students, count_step), students]:
        if count != students and students - count < count_step / 2:
            continue
        y = _y(count, students)
        lines.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        lines.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{count}</text>')
    lines.append(
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 12}" text-anchor="end">'
        "seconds since everybody opened the log-in page</text>"
    )
    return lines


def _drawn(number: int, curve: Curve, last: float, students: int) -> list[str]:
    """A staircase with a dot at its end, and its line of the legend."""
    path = f"M{_x(0, last):.1f} {_y(0, students):.1f}"
    for count, seconds in enumerate(curve.seconds, 1):
        path += f"H{_x(seconds, last):.1f}V{_y(count, students):.1f}"
    end_x, end_y = _x(curve.seconds[-1], last), _y(len(curve.seconds), students)
    legend_x = _LEFT + (number % 2) * (_WIDTH - _LEFT - _RIGHT) / 2
    legend_y = 58 + 20 * (number // 2)
    colour = f"var(--c{number % 4})"
    text = f"{curve.title}: last after {curve.seconds[-1]:.1f} s"
    return [
        f'<path class="curve" style="stroke: {colour}" d="{path}"/>',
        f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="4.5" style="fill: {colour}"/>',
        f'<circle cx="{legend_x + 5:.1f}" cy="{legend_y - 5}" r="5" style="fill: {colour}"/>',
        (
            f'<text class="name" x="{legend_x + 17:.1f}" y="{legend_y}"'
            f' style="fill: {colour}">{escape(text)}</text>'
        ),
    ]


def _round_step(rough: float) -> float:
    """The next of 1, 2, 5, 10, 20, … (or 0.1, 0.2, 0.5, …) that isn't smaller."""
    power = float(10 ** math.floor(math.log10(rough)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
