"""The table of exposures, from what systemd-analyze prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.exposure import UNITS, Exposure, of_files, parse, table

PRINTED = """\
  NAME                          DESCRIPTION                                    EXPOSURE
✗ RootDirectory=/RootImage=     Service runs within the host's root directory       0.1
✓ SystemCallFilter=~@swap       System call allow list defined for service
✗ PrivateNetwork=               Service has access to the host's network            0.5
✗ User=/DynamicUser=            Service runs as root user                           0.4

→ Overall exposure level for appliance-hub.service: 1.9 OK 🙂
"""


def test_score_and_holes_are_read() -> None:
    found = parse(PRINTED)
    holes = ["PrivateNetwork=", "User=/DynamicUser=", "RootDirectory=/RootImage="]
    assert found == Exposure("appliance-hub", 1.9, "OK", holes)
    assert parse("Unit nothing.service not found.") is None


def test_the_table_has_a_row_for_each() -> None:
    rows = table([Exposure("appliance-hub", 1.9, "OK", ["PrivateNetwork="])]).splitlines()
    assert rows[-1] == "| `appliance-hub` | 1.9 | OK | PrivateNetwork= |"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_every_service_of_ours_is_measured() -> None:
    found = of_files(UNITS)
    assert {f"{one.unit}.service" for one in found} == {one.name for one in UNITS.glob("*.service")}
    assert all(0 < one.score < 7 for one in found)


def test_docs_have_the_scores_of_the_units() -> None:
    """A unit whose score changes is measured again for the docs."""
    text = (Path(__file__).resolve().parents[2] / "docs/security.md").read_text()
    named = [
        line.split("|")[1].strip(" `") for line in text.splitlines() if "| `appliance-" in line
    ]
    missing = {one.stem for one in UNITS.glob("*.service")} - set(named)
    assert not missing, "put what `python3 -m benchmarks.exposure` prints into docs/security.md"
