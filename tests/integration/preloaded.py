"""An appliance whose servers and kernels are preloaded, and short words for what tests do there."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.commands import Commands
from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.nspawn import NativeMachine, why_not

INSIDE: Final = Path(__file__).with_name("inside")
DAEMONS: Final = ("appliance-preload-server.service", "appliance-preload-kernel.service")

_TERMINAL_SECONDS: Final = 60
_PORTRAITS: Final = 20


@dataclass
class Preloaded:
    """One machine with the appliance."""

    machine: Commands
    _tokens: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put our programs into the machine, where everybody may read them."""
        for program in INSIDE.glob("*.py"):
            self.machine.write_file(f"/opt/inside/{program.name}", program.read_bytes())

    @property
    def python(self) -> str:
        """The users' environment's own Python, as kernels are started by it."""
        return self.machine.execute("echo $(readlink -f /opt/appliance/user)/bin/python").strip()

    # The preload daemons

    def daemon(self, kind: str) -> int:
        """The process of the daemon for a "server" or "kernel"; 0 if it doesn't run."""
        return self.main_pid(f"appliance-preload-{kind}.service")

    def stop_daemons(self) -> None:
        self.machine.execute(f"systemctl stop {' '.join(DAEMONS)}")

    def start_daemons(self) -> None:
        """Return when both serve."""
        self.machine.execute(f"systemctl start {' '.join(DAEMONS)}")

    def journal_of_daemons(self) -> str:
        return self.machine.execute(f"journalctl --no-pager {' '.join(f'-u {u}' for u in DAEMONS)}")

    # Servers

    def add(self, user: str) -> None:
        self.machine.execute(f"appliance user add {user}")
        self._tokens[user] = self.machine.execute(f"appliance token add {user}").split()[-1]

    def token_of(self, user: str) -> str:
        """An API token of a user who was added here."""
        return self._tokens[user]

    def start(self, user: str) -> str:
        """Start a server; what its status says of itself."""
        self.machine.execute(f"appliance server start {user}", timeout=90)
        return self.status(user)

    def stop_all(self) -> None:
        self.machine.execute("appliance server stop --all", timeout=90)

    def stop(self, user: str) -> None:
        self.machine.execute(f"appliance server stop {user}", timeout=90)

    def status(self, user: str) -> str:
        return self.show(unit_of(user), "StatusText")

    def show(self, unit: str, name: str) -> str:
        return self.machine.execute(f"systemctl show --value -P {name} {shlex.quote(unit)}").strip()

    def main_pid(self, unit: str) -> int:
        return int(self.show(unit, "MainPID"))

    # What runs in them

    def notebook(self, user: str, verb: str, *more: str, stdin: str = "") -> str:
        url = f"http://127.0.0.1/user/{user}"
        words = shlex.join([url, self._tokens[user], verb, *more])
        return self.machine.execute(
            f"/opt/appliance/user/bin/python -I /opt/inside/notebook.py {words}", stdin=stdin
        )

    def start_kernel(self, user: str, name: str = "") -> str:
        return self.notebook(user, "start", *([name] if name else [])).strip()

    def run(self, user: str, kernel: str, code: str) -> str:
        """What the code printed in the kernel."""
        return self.notebook(user, "run", kernel, stdin=code)

    def run_in_terminal(self, user: str, program: str) -> str:
        """What one of our programs prints in a terminal of the server."""
        home = f"/home/nb-{user}"
        line = f"/usr/bin/python3 /opt/inside/{program} >~/printed 2>&1; mv ~/printed ~/done"
        words = shlex.join([f"http://127.0.0.1/user/{user}", self._tokens[user], "type", line])
        self.machine.execute(
            f"rm -f {home}/done; /opt/appliance/user/bin/python -I /opt/inside/notebook.py {words}"
            " >/dev/null 2>&1 & typing=$!;"
            f" timeout {_TERMINAL_SECONDS} sh -c 'until [ -e {home}/done ]; do sleep 0.1; done';"
            " kill $typing"
        )
        return self.machine.read_file(f"{home}/done")

    # What they look like from outside

    def portrait(self, pid: int, kind: str) -> dict[str, Any]:
        """How a process is confined, once it has done what it does after a start or a request."""
        found = self._portrait(pid, kind)
        for _ in range(_PORTRAITS):
            time.sleep(0.5)
            before, found = found, self._portrait(pid, kind)
            if found == before:
                return found
        raise AssertionError(f"{pid} never comes to rest: {found}")

    def _portrait(self, pid: int, kind: str) -> dict[str, Any]:
        """By inside/portrait.py."""
        told = self.machine.execute(
            f"/usr/bin/python3 -I /opt/inside/portrait.py {pid} {self.daemon(kind)}"
        )
        found: dict[str, Any] = json.loads(told)
        return found

    def processes(self, unit: str) -> list[int]:
        """The processes of a unit, those below it included."""
        group = self.show(unit, "ControlGroup")
        return [int(word) for word in self.machine.execute(
            f"find /sys/fs/cgroup{group} -name cgroup.procs -exec cat {{}} +"
        ).split()]  # fmt: skip

    def wait_for_processes(self, unit: str, count: int, *, seconds: float = 20) -> list[int]:
        deadline = time.monotonic() + seconds
        while len(found := self.processes(unit)) != count:
            assert time.monotonic() < deadline, f"{unit} has the processes {found}"
            time.sleep(0.2)
        return found


@contextmanager
def open_native(debian: Debian) -> Iterator[Preloaded]:
    """A machine just installed, on this host's kernel, with both daemons ready."""
    image = installed_image(debian).image
    reason = why_not(image)
    if reason:
        pytest.skip(f"systemd-nspawn can't boot a machine here: {reason}")
    with NativeMachine(image) as machine:
        room = Preloaded(machine)
        room.prepare()
        room.start_daemons()
        yield room
        room.stop_all()


def unit_of(user: str) -> str:
    """The unit of a user's server, for names that need no escaping."""
    return f"appliance-user-{user}.service"
