"""Trial mode as somebody without root tries it out, up to a cell in Chromium."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.fakes.ports import free_port
from tests.integration.browser import chromium
from tests.integration.pages import Person

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).resolve().parent.parent.parent
ACCOUNT: Final = "games"
"""An ordinary account that every Debian has and nothing uses."""


@dataclass
class Trial:
    """A trial's folder, and how it is started and ended."""

    home: Path
    port: int
    strangers: frozenset[Path] = field(default_factory=frozenset)
    """Processes of the account that were there before."""

    @property
    def folder(self) -> Path:
        return self.home / "classroom"

    @property
    def checkout(self) -> Path:
        """A copy of this one, which may lie where ordinary accounts can't read."""
        return self.home / "checkout"

    def start(self) -> subprocess.Popen[str]:
        account = pwd.getpwnam(ACCOUNT)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "UV_", "SSL_")) or "proxy" in name.lower()
        }
        return subprocess.Popen(
            ["/usr/bin/python3", str(self.checkout / "bootstrap.py"), "--trial", str(self.folder),
             "--port", str(self.port), "--admin", "ada", "--quiet"],
            env={**environment, "HOME": str(self.home), "PATH": "/usr/bin:/bin", "USER": ACCOUNT},
            cwd=self.home, user=account.pw_uid, group=account.pw_gid, extra_groups=[],
            stdout=subprocess.PIPE, stderr=sys.stderr, text=True,
        )  # fmt: skip

    def end(self, process: subprocess.Popen[str]) -> None:
        """Ctrl-C."""
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0

    def processes(self) -> list[str]:
        """The command lines of the trial's processes."""
        found = _processes_of_account() - self.strangers
        return [(path / "cmdline").read_text().replace("\0", " ") for path in found]

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [self.folder / "bin/appliance", *words],
            user=pwd.getpwnam(ACCOUNT).pw_uid, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def _processes_of_account() -> frozenset[Path]:
    uid = pwd.getpwnam(ACCOUNT).pw_uid
    return frozenset(path for path in Path("/proc").glob("[0-9]*") if _owner(path) == uid)


def _owner(path: Path) -> int:
    try:
        return path.stat().st_uid
    except OSError:
        return -1


@pytest.fixture
def trial() -> Iterator[Trial]:
    home = Path(tempfile.mkdtemp(prefix="trial-"))
    os.chown(home, pwd.getpwnam(ACCOUNT).pw_uid, -1)
    strangers = _processes_of_account()
    trial = Trial(home, free_port(), strangers)
    unneeded = shutil.ignore_patterns(".*", "__pycache__", "tests", "benchmarks")
    shutil.copytree(ROOT, trial.checkout, ignore=unneeded)
    yield trial
    for process in _processes_of_account() - strangers:
        with suppress(ProcessLookupError):
            os.kill(int(process.name), signal.SIGKILL)
    shutil.rmtree(home, ignore_errors=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def test_from_set_up_link_to_running_cell_without_root(trial: Trial) -> None:
    process = trial.start()
    address, link = _line(process), _line(process)
    assert address == f"http://localhost:{trial.port}/"
    assert re.fullmatch(rf"{address}hub/setup\?token=\w+", link)
    with ExitStack() as stack:
        stack.callback(process.kill)
        browser = stack.enter_context(chromium(address.rstrip("/")))
        people = {}
        for name in ("ada", "bob"):
            page = stack.enter_context(browser.visit(name))
            people[name] = Person(page.page, address.rstrip("/"), name, lambda *_: None)
        ada, bob = people["ada"], people["bob"]
        ada.use_setup_link(link)
        bob.sign_up()
        ada.go("/hub/admin")
        ada.press("Approve bob")
        bob.log_in()
        lab = bob.open_lab()
        cell = lab.run("6 * 7")
        assert lab.wait_for_output(cell, "42").strip() == "42"
        # A setting of the hub's: it starts anew, and a trial's servers end with it.
        trial.command("config", "set", "passwords.min_length", "12")
        lab = bob.open_lab()
        cell = lab.run("7 * 7")
        assert lab.wait_for_output(cell, "49").strip() == "49"
        trial.end(process)
    assert trial.processes() == []

    # The second start is quick and has kept everything: ada needs no link any more.
    again = trial.start()
    try:
        assert _line(again) == address
        assert "min_length: 12" in trial.command("config", "show")
        trial.end(again)
    finally:
        again.kill()
    assert again.stdout
    assert again.stdout.read() == ""
