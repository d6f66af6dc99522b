"""The linters are tests, so that one command says whether the tree is in order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST

ROOT = Path(__file__).resolve().parent.parent


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


def test_the_machine_tests_that_come_first_are_there() -> None:
    found = {path.stem for path in ROOT.glob("tests/integration/test_*.py")}
    assert set(LONGEST_FIRST) <= found
