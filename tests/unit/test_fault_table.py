"""The table of faults: that what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.faults import elsewhere
from tests.integration.faults.__main__ import NATIVE, WHOLE

FOLDER = Path(__file__).parents[1] / "integration"


@pytest.mark.parametrize("name", [name for tests in elsewhere.TESTS.values() for name in tests])
def test_tests_that_it_leaves_things_to_are_there(name: str) -> None:
    file, _, test = name.partition("::")
    assert re.search(rf"(?m)^def {re.escape(test)}\(", (FOLDER / file).read_text("utf-8"))
    assert f"`{name}`" in elsewhere.as_list()


def test_every_row_is_tried() -> None:
    rows = [*NATIVE, *WHOLE]
    assert all(row.tries >= 1 and row.few <= row.tries for row in rows)
    assert len({row.name for row in rows}) == len(rows)
