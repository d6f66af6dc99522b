"""The wheel that is packed without hatchling is the one that hatchling packs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from installer.lock import ROOT
from installer.wheel import build_wheel


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    first, second = (build_wheel(ROOT, folder) for folder in folders)
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_it_has_what_hatchling_would_put_in(tmp_path: Path) -> None:
    ours = build_wheel(ROOT, tmp_path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "h")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    theirs = next((tmp_path / "h").glob("*.whl"))
    assert _files(ours) == _files(theirs)
    assert _entry_points(ours) == _entry_points(theirs)


def test_python_imports_from_it(tmp_path: Path) -> None:
    """bootstrap.py runs the installer's code from the wheel before anything is installed."""
    wheel = build_wheel(ROOT, tmp_path)
    code = "import sys; sys.path.insert(0, sys.argv[1]); from installer import environments as e; "
    code += "print(len(e.Environment.named('hub').pinned) > 1000, e.__file__)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(wheel)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"True {wheel}/installer/environments.py\n"


def _files(wheel: Path) -> set[str]:
    """Everything but what describes the wheel itself, and caches of a tree in use."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if ".dist-info/" not in name and not name.endswith(".pyc")}


def _entry_points(wheel: Path) -> str:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith("/entry_points.txt"))
    return archive.read(name).decode().strip()
