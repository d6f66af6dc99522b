from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from appliance.preload import options
from appliance.preload.options import Options, OptionsError, read_options

GOOD: dict[str, Any] = {"servers": True, "kernels": False, "packages": ["numpy", "scipy.stats"]}


def written(tmp_path: Path, found: object) -> Path:
    path = tmp_path / "preload.json"
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return path


def test_the_file_is_read(tmp_path: Path) -> None:
    found = read_options(written(tmp_path, GOOD))
    assert found == Options(servers=True, kernels=False, packages=("numpy", "scipy.stats"))
    assert found.wants("server")
    assert not found.wants("kernel")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ("{", "Expecting"),
        ("[]", "must be a JSON object"),
        ({}, "servers must be true or false, found None"),
        ({**GOOD, "kernels": 1}, "kernels must be true or false, found 1"),
        ({**GOOD, "packages": "numpy"}, "packages must be a list, found 'numpy'"),
        ({**GOOD, "packages": ["os; x"]}, "must have names of modules, found 'os; x'"),
        ({**GOOD, "packages": ["numpy\n"]}, "must have names of modules"),
        ({**GOOD, "packages": [1]}, "must have names of modules, found 1"),
    ],
)
def test_a_damaged_file_is_told_with_its_name_and_how_to_mend_it(
    tmp_path: Path, found: object, says: str
) -> None:
    path = written(tmp_path, found)
    with pytest.raises(OptionsError) as caught:
        read_options(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert "appliance config reload --force" in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="there is no such file"):
        read_options(tmp_path / "preload.json")


def test_the_units_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "preload.json"
    monkeypatch.setattr(options, "read_options", lambda: read_options(path))
    assert options.main("server") == 0
    written(tmp_path, GOOD)
    assert (options.main("server"), options.main("kernel")) == (0, 1)


def test_the_condition_needs_no_environment() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-S", options.__file__, "server"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}
    assert done.stderr == ""
