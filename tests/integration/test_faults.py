"""The rows of the table of faults that share a machine on this host's kernel, a few tries each.

All rows, as often as it takes to believe them: `python -m tests.integration.faults`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.faults import by_hand, kills, visitors
from tests.integration.faults.table import Fault, run_rows
from tests.integration.faults.watching import open_room
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded

pytestmark = pytest.mark.machine

ROWS = [row for row in (*kills.ROWS, *by_hand.ROWS, *visitors.ROWS) if row.few]


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_room(Debian.TRIXIE) as room:
        yield room


@pytest.mark.parametrize("fault", ROWS, ids=lambda fault: fault.run.__name__)
def test_it_survives(fault: Fault[Any], room: Preloaded) -> None:
    (row,) = run_rows([fault], room, tries=lambda one: one.few, told=lambda _: None)
    assert row.is_good, row.notes
