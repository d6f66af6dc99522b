"""What root imports comes from where it was looked at, whichever finder knows it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from appliance.preload.import_guard import importing_from


class Editable:
    """As setuptools makes one for a project that lies anywhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        file = self._folder / f"{name}.py"
        return importlib.util.spec_from_file_location(name, file) if file.exists() else None


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """It is below the folder for temporary files, where everybody may write."""
    (tmp_path / "of_a_teacher.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Editable(tmp_path)])
    yield tmp_path
    sys.modules.pop("of_a_teacher", None)


def load() -> ModuleType:
    return importlib.import_module("of_a_teacher")


def test_what_others_could_change_does_not_run(project: Path) -> None:
    with importing_from(sys.path), pytest.raises(ImportError, match="others could change it"):
        load()
    with pytest.raises(SystemExit, match="it ran"):
        load()


def test_what_was_looked_at_is_imported(project: Path) -> None:
    with importing_from([str(project)]), pytest.raises(SystemExit, match="it ran"):
        load()


def test_a_folder_whose_name_goes_on_was_not_looked_at(project: Path) -> None:
    with importing_from([str(project)[:-1]]), pytest.raises(ImportError, match="others could"):
        load()


def test_what_is_not_there_is_not_found(project: Path) -> None:
    with importing_from(sys.path), pytest.raises(ModuleNotFoundError):
        importlib.import_module("of_nobody")
    assert not [one for one in sys.meta_path if type(one).__name__ == "_Guard"]
