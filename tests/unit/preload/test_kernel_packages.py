"""A package that can't be preloaded is left out, and the template doesn't notice."""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

import pytest

from appliance.preload.kernel_packages import Preloaded, third_party_names
from appliance.preload.probe import MisbehavesError, probe, surroundings

GOOD = "import os\nos.environ['GOOD_SETTING'] = 'set'\nimport random\ndice = random.Random(7)\n"
BAD = {
    "no_module": ("", "ModuleNotFoundError: No module named 'no_module'"),
    "raises": ("raise ValueError('not here')", "ValueError: not here"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "dies": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ends the process"),
    "hangs": ("import time; time.sleep(60)", "it takes more than 1 seconds"),
    "has_thread": (
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()",
        "it changes threads",
    ),
    "has_file": ("file = open('/dev/null')", "it changes open files"),
    "has_socket": ("import socket; kept = socket.socket()", "it changes open files"),
    "has_child": (
        "import subprocess; kept = subprocess.Popen(['sleep', '60'])", "it changes child processes"
    ),
    "has_handler": (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: 0)", "it changes signal handlers"
    ),
    "moves": ("import os; os.chdir('/usr')", "it changes the working directory"),
}  # fmt: skip


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", BAD)
def test_a_package_that_misbehaves_is_left_out(packages: Path, name: str) -> None:
    code, reason = BAD[name]
    if code:
        (packages / f"{name}.py").write_text(code)
    before = surroundings()
    remarks = Preloaded().add([name], seconds=1)
    assert remarks == [f"{name} is not preloaded: {reason}"]
    assert name not in sys.modules
    assert surroundings() == before


def test_a_good_package_is_imported_and_put_right(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (packages / "good.py").write_text(GOOD)
    preloaded = Preloaded()
    assert preloaded.add(["good", "good"]) == []
    preloaded.look_around()
    assert "good" in third_party_names()
    assert "GOOD_SETTING" not in os.environ
    monkeypatch.setenv("USER", "ada")
    preloaded.repair()
    # What the package sets a kernel finds set; what it drew nobody draws again.
    assert os.environ.pop("GOOD_SETTING") == "set"
    assert sys.modules.pop("good").dice.random() != random.Random(7).random()  # noqa: S311


def test_a_probe_is_over_when_its_time_is(packages: Path) -> None:
    with pytest.raises(MisbehavesError, match="more than 0 seconds"):
        probe(threading.Event().wait, seconds=0.2)  # type: ignore[arg-type]
