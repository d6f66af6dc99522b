"""The hub's own program with a spawner that runs nothing: `python -m tests.fakes.hub_program`."""

from __future__ import annotations

import sys
from typing import Any

from appliance.hub import program
from tests.fakes.service_runner import FakeServiceRunner
from tests.fakes.spawner import FakeSpawner


def _fake(*_: Any) -> tuple[FakeSpawner, FakeServiceRunner]:
    return FakeSpawner(), FakeServiceRunner()


if __name__ == "__main__":
    vars(program)["_make_spawner"] = _fake
    sys.exit(program.main())
