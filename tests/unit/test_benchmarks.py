"""The arithmetic of the benchmarks; the workloads themselves need a booted machine."""

from __future__ import annotations

import pytest

from benchmarks import report
from benchmarks.figures import ROWS, Figures, percentile
from benchmarks.processes import Memory, parse_smaps_rollup

SMAPS_ROLLUP = """55d0c8a00000-7ffd0d5f1000 ---p 00000000 00:00 0      [rollup]
Rss:                5000 kB
Pss:                3000 kB
Pss_Dirty:          1500 kB
Shared_Clean:       2000 kB
Private_Clean:       400 kB
Private_Dirty:      1600 kB
"""


def test_private_memory_is_clean_and_dirty_together() -> None:
    assert parse_smaps_rollup(SMAPS_ROLLUP) == Memory(pss=3000 * 1024, private=2000 * 1024)


def test_a_process_without_memory_of_its_own_counts_nothing() -> None:
    assert parse_smaps_rollup("") == Memory(pss=0, private=0)


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_percentile_is_the_nearest_rank(share: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], share) == expected


def test_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 0.99) == 7.0


def test_times_better_is_the_median_of_the_rounds_ratios() -> None:
    figures = Figures()
    for peer, ours in [(10.0, 5.0), (100.0, 10.0), (30.0, 10.0)]:
        figures.add("peer", {"spawn_cpu": peer, "login_rate": peer})
        figures.add("ours", {"spawn_cpu": ours, "login_rate": ours})
    rows = {row.key: row for row in ROWS}
    assert figures.times_better(rows["spawn_cpu"]) == 3.0
    assert figures.times_better(rows["login_rate"]) == pytest.approx(1 / 3)


def test_a_side_that_was_not_measured_has_no_ratio() -> None:
    figures = Figures()
    figures.add("peer", {"spawn_cpu": 2.0})
    about = {"peer": {"bcrypt_cost": [12], "versions": {"jupyterhub": "5.5.4"}}}
    line = next(line for line in report.table(figures, about).splitlines() if "2.00" in line)
    assert line.split()[-5:] == ["2.00", "-", "CPU", "s", "-"]


def test_a_figure_without_a_row_is_refused() -> None:
    with pytest.raises(KeyError):
        Figures().add("peer", {"spwan_cpu": 1.0})
