"""Whether memory is short, by what the kernel counts."""

from __future__ import annotations

from pathlib import Path

from appliance.hub.strain import MemoryStrain
from tests.fakes.clock import FakeClock


def _write(path: Path, stalled_seconds: float) -> None:
    total = round(stalled_seconds * 1_000_000)
    path.write_text(
        f"some avg10=9.00 avg60=0.00 avg300=0.00 total={total * 5}\n"
        f"full avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n"
    )


def test_it_follows_the_time_in_which_everything_waited(tmp_path: Path) -> None:
    clock, file = FakeClock(), tmp_path / "memory.pressure"
    _write(file, 100.0)
    strain = MemoryStrain(file, monotonic=clock.monotonic)
    assert strain() is False, "what was before doesn't count"
    clock.pass_time(1)
    _write(file, 100.05)
    assert strain() is False
    clock.pass_time(1)
    _write(file, 100.3)
    assert strain() is True
    clock.pass_time(0.1)
    assert strain() is True, "it looks again only after a while"
    clock.pass_time(1)
    assert strain() is False


def test_a_kernel_that_counts_nothing_is_not_strained(tmp_path: Path) -> None:
    clock = FakeClock()
    strain = MemoryStrain(tmp_path / "none", monotonic=clock.monotonic)
    clock.pass_time(1)
    assert strain() is False
    (tmp_path / "none").write_text("")
    clock.pass_time(1)
    assert strain() is False
