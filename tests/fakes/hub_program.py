"""The hub's own program with a spawner that runs nothing: `python -m tests.fakes.hub_program`.

BROKEN_FILE names a file that the disk can't read.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

from appliance.hub import program
from tests.fakes.service_runner import FakeServiceRunner
from tests.fakes.spawner import FakeSpawner


def _fake(*_: Any) -> tuple[FakeSpawner, FakeServiceRunner]:
    return FakeSpawner(), FakeServiceRunner()


def _break(broken: str) -> None:
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.name == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read(path)

    Path.read_bytes = read_bytes  # type: ignore[method-assign]


if __name__ == "__main__":
    if "BROKEN_FILE" in os.environ:
        _break(os.environ["BROKEN_FILE"])
    vars(program)["_make_spawner"] = _fake
    sys.exit(program.main())
