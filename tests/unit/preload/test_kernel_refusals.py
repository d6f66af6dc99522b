"""What can't be forked, of commands, variables and files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from appliance.preload import kernel_refusals as refusals

USUAL = [sys.executable, "-m", "ipykernel_launcher", "-f", "/run/k.json"]


@pytest.mark.parametrize(
    "command", [USUAL, [sys.executable, "-Xfrozen_modules=off", *USUAL[1:]]], ids=["spec", "native"]
)
def test_the_usual_commands_are_forked(command: list[str]) -> None:
    assert refusals.of_command(command) == ""


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["/usr/bin/python3", *USUAL[1:]],
        [*USUAL, "--debug"],
        [sys.executable, "-O", *USUAL[1:]],
        [sys.executable, "-m", "ipykernel", "-f", "/run/k.json"],
        [sys.executable, "-m", "ipykernel_launcher"],
        ["R", "--slave", "-e", "IRkernel::main()", "--args", "/run/k.json"],
    ],
)
def test_other_commands_start_cold(command: list[str]) -> None:
    assert refusals.of_command(command)


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES",
        "PANDAS_COPY_ON_WRITE", "NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE", "DEBUGPY_LOG_DIR",
        "JUPYTER_ALLOW_INSECURE_WRITES",
    ],
)  # fmt: skip
def test_variables_that_are_read_once_start_kernels_cold(name: str) -> None:
    assert refusals.of_environment({"HOME": "/", name: "1"}) == f"{name} is set"


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "PYTHONSTARTUP", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MPLBACKEND",
        "JPY_PARENT_PID",
    ],
)  # fmt: skip
def test_other_variables_do_not(name: str) -> None:
    assert refusals.of_environment({"HOME": "/", name: "1"}) == ""


@pytest.mark.parametrize(
    ("entry", "hides"),
    [
        ("numpy.py", True), ("numpy.so", True), ("numpy.pyc", True), ("numpy/__init__.py", True),
        ("numpy.abi3.so", True), ("numpy/data.csv", False), ("numpy.txt", False),
        ("numpy2.py", False), ("my.numpy.py", False), ("Numpy.py", False),
    ],
)  # fmt: skip
def test_what_hides_a_package(tmp_path: Path, entry: str, *, hides: bool) -> None:
    path = tmp_path / entry
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert bool(list(refusals.shadows(tmp_path, {"numpy"}))) is hides


def test_a_folder_that_is_gone_starts_a_kernel_cold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert refusals.of_directory({"numpy"}) == "the working directory is gone"
