"""Kernels of other languages at a user's server: R as Debian has it, and bash from PyPI."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.long]

# What docs/environments.md says.
R_PACKAGE: Final = "r-cran-irkernel"
DEBS: Final = "/var/cache/apt/archives"
WHEELS: Final = "/srv/wheels"


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        room.add("zoe")
        room.start("zoe")
        yield room


def test_r_by_the_command_of_the_documentation(room: Preloaded) -> None:
    machine = room.machine
    listed = machine.execute(f"apt-get install --print-uris -y --no-install-recommends {R_PACKAGE}")
    packages = re.findall(r"^'(\S+)' (\S+\.deb)", listed, re.MULTILINE)
    assert packages
    for address, name in packages:
        assert address.startswith("http")
        with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - looked at above
            machine.write_file(f"{DEBS}/{name}", answer.read())
    machine.execute(
        f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-download "
        f"--no-install-recommends {R_PACKAGE}",
        timeout=300,
    )
    assert "system" in machine.execute("appliance env kernel list | grep ^ir")
    kernel = room.start_kernel("zoe", "ir")
    assert room.run("zoe", kernel, "cat(mean(c(1, 2, 6)))") == "3"
    assert room.run("zoe", kernel, "x <- 1; cat(R.version$language)") == "R"
    room.notebook("zoe", "restart", kernel)
    assert "not found" in room.run("zoe", kernel, "cat(x)")


def test_bash_from_pypi(room: Preloaded) -> None:
    machine = room.machine
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "-q", "--no-deps", "--only-binary", ":all:", "-d", folder]
        subprocess.run(
            [sys.executable, "-m", "pip", *words, "bash_kernel==0.10.0", "filetype==1.2.0"],
            check=True,
        )
        for wheel in Path(folder).glob("*.whl"):
            machine.write_file(f"{WHEELS}/{wheel.name}", wheel.read_bytes())
    machine.execute(f"appliance env install bash_kernel --wheels {WHEELS}", timeout=120)
    machine.execute("appliance env kernel add bash")
    room.stop("zoe")
    room.start("zoe")
    kernel = room.start_kernel("zoe", "bash")
    assert room.run("zoe", kernel, "echo $((6 * 7))").strip() == "42"
