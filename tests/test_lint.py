"""The linters are tests, so that one command says whether the tree is in order."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNITS = sorted((ROOT / "units").glob("*.service")) + sorted((ROOT / "units").glob("*.socket"))


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_format() -> None:
    _run(_tool("ruff"), "format", "--check", ".")


def test_lint() -> None:
    _run(_tool("ruff"), "check", ".")


def test_types() -> None:
    _run(_tool("mypy"))


@pytest.mark.parametrize("script", sorted(ROOT.glob(".ci/*")), ids=lambda path: path.name)
def test_shell_scripts_parse(script: Path) -> None:
    _run("bash", "-n", str(script))


def test_units_are_what_systemd_understands(tmp_path: Path) -> None:
    """`systemd-analyze verify` writes a line about every unknown directive and bad value."""
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is missing: apt-get install systemd")
    for unit in (ROOT / "units").iterdir():
        if unit.suffix in {".service", ".socket", ".slice", ".target"}:
            shutil.copy(unit, tmp_path)
    names = [str(tmp_path / unit.name) for unit in UNITS]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    # The commands aren't installed here, and that alone may be missing.
    lines = [
        line
        for line in done.stderr.splitlines()
        if "appliance" in line and "is not executable" not in line
    ]
    assert not lines, "\n".join(lines)
