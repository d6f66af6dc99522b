"""A private network between this host and one test machine.

Each machine has a *slot*: a number that names its tap device, its /24 network, its firewall rules
and its folder. A slot is taken by locking a file, so parallel runs can't meet, and the kernel frees
it whatever way its owner ends; the next owner first removes what the last one left behind.

A network namespace per machine was weighed and left out: Chromium and the web server for the
guest live on the host and need a route to the guest, so that addresses must be unique on the host
anyway. With the slot's lock that is all the separation there is to gain, without a second hop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_LOCKS: Final = Path("/run/lock/appliance-machines")
_SLOTS: Final = range(1, 200)


class NetworkError(Exception):
    """The host can't give a test machine its network."""


@dataclass(frozen=True, slots=True)
class Link:
    """The two ends of a machine's network."""

    slot: int

    @property
    def tap(self) -> str:
        return f"machine{self.slot}"

    @property
    def folder(self) -> Path:
        """The machine's own place for its disk and logs; short, as sockets live there."""
        return Path(f"/var/tmp/appliance-machine-{self.slot}")

    @property
    def host(self) -> str:
        return f"10.77.{self.slot}.1"

    @property
    def guest(self) -> str:
        return f"10.77.{self.slot}.2"

    @property
    def subnet(self) -> str:
        return f"10.77.{self.slot}.0/24"


class Network:
    """Context manager: a tap device with addresses and a way out to the registries."""

    def __init__(self) -> None:
        self._lock = -1
        self._link: Link | None = None

    @property
    def link(self) -> Link:
        if self._link is None:
            raise NetworkError("the network isn't set up; use it as a context manager")
        return self._link

    def __enter__(self) -> Self:
        self._lock, self._link = _take_slot()
        try:
            _remove_remains(self._link)
            self._link.folder.mkdir(mode=0o700)
            _set_up(self._link)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._link is not None:
            _remove_remains(self._link)
        self._link = None
        os.close(self._lock)

    def record_process(self, pid: int) -> None:
        """Write down a process that works for this slot, for a successor that finds us gone."""
        os.lseek(self._lock, 0, os.SEEK_END)
        os.write(self._lock, f"{pid}\n".encode())


def _take_slot() -> tuple[int, Link]:
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for slot in _SLOTS:
        lock = os.open(_LOCKS / str(slot), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return lock, Link(slot)
    raise NetworkError(f"all {len(_SLOTS)} slots of {_LOCKS} are taken")


def _set_up(link: Link) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _run("ip", "tuntap", "add", "dev", link.tap, "mode", "tap")
    _run("ip", "address", "add", f"{link.host}/24", "dev", link.tap)
    _run("ip", "link", "set", link.tap, "up")
    for table, chain, *rule in _firewall_rules(link):
        _run("iptables", "-w", "-t", table, "-I", chain, *rule)


def _firewall_rules(link: Link) -> list[list[str]]:
    # FORWARD: a host with a container engine drops by default what it doesn't know.
    return [
        ["nat", "POSTROUTING", "-s", link.subnet, "!", "-o", link.tap, "-j", "MASQUERADE"],
        ["filter", "FORWARD", "-i", link.tap, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", link.tap, "-j", "ACCEPT"],
    ]


def _remove_remains(link: Link) -> None:
    """Kill the slot's machine, remove its disk, device and rules; fine when there are none."""
    _kill_recorded_processes(link)
    if link.folder.exists():
        shutil.rmtree(link.folder)
    while link.tap in (interface.name for interface in Path("/sys/class/net").iterdir()):
        _run("ip", "link", "delete", link.tap)
    for table, chain, *rule in _firewall_rules(link):
        while _succeeds("iptables", "-w", "-t", table, "-C", chain, *rule):
            _run("iptables", "-w", "-t", table, "-D", chain, *rule)


def _kill_recorded_processes(link: Link) -> None:
    record = _LOCKS / str(link.slot)
    for text in record.read_text().split():
        # The number may belong to somebody else by now: ours name the machine's folder.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if f"{link.folder}/".encode() in Path("/proc", text, "cmdline").read_bytes():
                os.kill(int(text), signal.SIGKILL)
                _wait_for_end(int(text))
    record.write_text("")


def _wait_for_end(pid: int) -> None:
    # Its own parent may be gone or may be us; a zombie holds no device either way.
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            status = Path("/proc", str(pid), "stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return
        if status.rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
