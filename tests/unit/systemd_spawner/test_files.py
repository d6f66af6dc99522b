from __future__ import annotations

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

import appliance
from appliance.systemd_spawner.files import DAEMON_FILES

PACKAGE = Path(str(appliance.__file__)).parent
SYSTEM_PYTHON = "/usr/bin/python3"


def has_pystemd() -> bool:
    command = [SYSTEM_PYTHON, "-I", "-c", "import pystemd"]
    return (
        Path(SYSTEM_PYTHON).exists()
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


def imported(source: Path) -> set[str]:
    tree = ast.parse(source.read_text())
    return {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("appliance.")
        if node.module
    }


def test_the_daemon_has_every_module_that_it_imports() -> None:
    wanted = set().union(*(imported(PACKAGE / source) for source in DAEMON_FILES))
    places = {f"{module.replace('.', '/')}.py" for module in wanted}
    assert places <= set(DAEMON_FILES.values())


def test_every_file_of_the_daemon_is_there() -> None:
    assert all((PACKAGE / source).is_file() for source in DAEMON_FILES)
    mine = {path.name for path in (PACKAGE / "systemd_spawner").glob("*.py")}
    named = {Path(source).name for source in DAEMON_FILES if source.startswith("systemd_spawner/")}
    assert mine - named == {
        "class_client.py",
        "spawner.py",
        "service_runner.py",
        "files.py",
    }


@pytest.mark.skipif(not has_pystemd(), reason="needs the distribution's python3-pystemd")
def test_a_copy_runs_on_the_systems_python_alone(tmp_path: Path) -> None:
    for source, place in DAEMON_FILES.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PACKAGE / source, tmp_path / place)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import appliance.systemd_spawner.daemon as d;"
        "print(d.__file__)"
    )
    done = subprocess.run(
        [SYSTEM_PYTHON, "-I", "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(str(tmp_path))
