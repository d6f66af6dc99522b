"""bootstrap.py as a module, and a machine for its checks that is a folder and a few answers."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 2**20


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["bootstrap"] = module
    spec.loader.exec_module(module)
    return module


bootstrap: Any = _load()

DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'
# /proc/net/tcp with one listener on port 80 (0x50), whose socket is inode 4711.
LISTEN = "\n".join(
    [
        "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode",
        "0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1",
    ]
)


class FakeMachine(bootstrap.Machine):  # type: ignore[misc]
    """A fit machine; tests break one thing."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root))
        self.folder = root
        self.installed: set[str] = set(bootstrap.PACKAGES)
        self.unreachable: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.holders: dict[str, int] = {}
        self.sockets: list[tuple[int, str]] = []
        self.free = (8000 * MIB, 500_000, True)
        self.python = (3, 11)
        self.user = 0
        self.cpu = "x86_64"
        self.clock = 1_800_000_000.0
        self.put("/etc/os-release", DEBIAN_12)
        self.put("/run/systemd/system/.keep", "")
        self.put("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
        self.put("/proc/meminfo", "MemTotal:        1004000 kB\n")
        self.put("/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\n")

    def put(self, path: str, text: str) -> None:
        place = self.folder / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def drop(self, path: str) -> None:
        (self.folder / path.lstrip("/")).unlink()

    def room(self, path: str) -> tuple[int, int | None, bool]:
        del path
        return self.free

    def output(self, *command: str) -> str:
        if command[0] == "dpkg-query":
            names = [name for name in command[4:] if name in self.installed]
            return "".join(f"{name} installed\n" for name in names)
        if command[:2] == ("apt-get", "--print-uris"):
            return "'http://mirror.example/debian/dists/x/InRelease' name 0\n"
        return ""

    def reach(self, host: str, port: int) -> str:
        self.asked.append((host, port))
        return self.unreachable.get(host, "")

    def lock_holder(self, path: str) -> int | None:
        return self.holders.get(path)

    def open_sockets(self) -> list[tuple[int, str]]:
        return self.sockets


def options(*arguments: str) -> Any:
    return bootstrap.parse_options(list(arguments))


def found(machine: FakeMachine, arguments: Sequence[str] = ()) -> list[str]:
    """What is wrong with a machine, one sentence each."""
    problems, _ = bootstrap.check_machine(machine, options(*arguments))
    assert all(problem.mend for problem in problems), "every problem says how to mend it"
    return [problem.what for problem in problems]
