"""Hub and proxy of a trial: they get their sockets, are started again, and none is left at the end.

The supervisor is a process of its own here, because it takes signals and adopts orphans.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.places import Places

# A hub that writes down what it was given, and leaves an orphan behind as a server would be.
HUB = """\
#!/bin/sh
mine=$([ "$LISTEN_PID" = $$ ] && echo mine)
echo "$LISTEN_FDNAMES $LISTEN_FDS $mine $APPLIANCE_TRIAL" >>{folder}/hub.calls
(sleep 1000 & echo $! >>{folder}/orphans)
exec sleep 1000
"""
NGINX = """\
#!/bin/sh
echo "$@" >>{folder}/nginx.calls
trap 'echo reload >>{folder}/nginx.calls' HUP
trap 'exit 0' TERM
while :; do sleep 0.05; done
"""
MAIN = """\
import asyncio, sys
from pathlib import Path
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.trial.children import become_subreaper, end_all
from appliance.trial.sockets import TrialSockets
from appliance.trial.supervisor import Supervisor, say_on_terminal

def greet():
    if sys.argv[3:]:
        raise ApplianceError("it does not answer")
    print("greeted", flush=True)

places = Places.of_trial(Path(sys.argv[1]))
sockets = TrialSockets.open(places)
become_subreaper()
supervisor = Supervisor(places, sockets, nginx=Path(sys.argv[2]), say=say_on_terminal)
asyncio.run(supervisor.run(greet))
end_all(patience_seconds=2)
sockets.close(places)
sys.exit(supervisor.failed)
"""


@dataclass
class Trial:
    folder: Path

    def __post_init__(self) -> None:
        places = Places.of_trial(self.folder)
        self._program(places.software / "hub/bin/python", HUB)
        self._program(self.folder / "nginx", NGINX)
        places.rendered.mkdir(parents=True)
        (places.rendered / "nginx.conf").write_text("events {}\n")

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(folder=self.folder))
        path.chmod(0o755)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            MAIN,
            str(self.folder),
            str(self.folder / "nginx"),
            *arguments,
        ]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def orphans(self) -> list[int]:
        return [int(line) for line in self.lines("orphans")]


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline, "it did not happen within 10 s"
        time.sleep(0.02)


@pytest.fixture
def trial(tmp_path: Path) -> Iterator[Trial]:
    yield Trial(tmp_path)
    shutil.rmtree(Places.of_trial(tmp_path).run, ignore_errors=True)


@pytest.fixture
def running(trial: Trial) -> Iterator[subprocess.Popen[str]]:
    with trial.start() as process:
        wait_for(lambda: trial.lines("hub.calls") and trial.lines("nginx.calls"))
        wait_for(trial.orphans)
        yield process
        # Killed, it would leave its programs behind.
        process.terminate()
        process.wait(20)


def test_the_hub_gets_its_sockets_as_from_systemd(
    trial: Trial, running: subprocess.Popen[str]
) -> None:
    assert trial.lines("hub.calls") == [f"hub:admin 2 mine {trial.folder}"]
    assert "daemon off;" in trial.lines("nginx.calls")[0]


def test_ctrl_c_leaves_no_process(trial: Trial, running: subprocess.Popen[str]) -> None:
    running.send_signal(signal.SIGINT)
    assert running.wait(10) == 0
    assert [pid for pid in trial.orphans() if Path(f"/proc/{pid}").exists()] == []
    assert not Places.of_trial(trial.folder).run.exists()


def test_a_hub_that_dies_is_started_again(trial: Trial, running: subprocess.Popen[str]) -> None:
    hub = _child(running.pid, "sleep")
    os.kill(hub, signal.SIGKILL)
    wait_for(lambda: len(trial.lines("hub.calls")) == 2)


def test_changed_settings_restart_the_hub_and_reload_nginx(
    trial: Trial, running: subprocess.Popen[str]
) -> None:
    running.send_signal(signal.SIGHUP)
    wait_for(lambda: len(trial.lines("hub.calls")) == 2)
    wait_for(lambda: "reload" in trial.lines("nginx.calls"))
    assert running.poll() is None


def test_one_that_never_answers_ends_with_its_logs(trial: Trial) -> None:
    with trial.start("fail") as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "it does not answer" in said
    assert "the last lines of" in said


def _child(pid: int, name: str) -> int:
    """The process started directly by `pid` that runs a program."""
    found: list[int] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()
        if int(fields[1]) == pid and (stat.parent / "comm").read_text().strip() == name:
            found.append(int(stat.parent.name))
    # The orphan is adopted, too; the hub is the one in a group of its own.
    return next(child for child in found if os.getpgid(child) == child)
