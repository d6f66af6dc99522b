"""The hub's own program with a spawner that runs nothing: `python -m tests.fakes.hub_program`."""

from __future__ import annotations

import sys
from typing import Any

from appliance.hub import __main__ as program
from tests.fakes.spawner import FakeSpawner


def _fake(*_: Any) -> FakeSpawner:
    return FakeSpawner()


if __name__ == "__main__":
    vars(program)["_make_spawner"] = _fake
    sys.exit(program.main())
