"""What there is to get at: two servers side by side, and what root knows of them."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError
from appliance.isolation.student import Student
from appliance.places import Places

TEMPORARY: Final = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
_SECONDS: Final = 20
# What the neighbour does: the secret in every place, a port that only she means to use.
_PREPARE: Final = """
import ctypes, json, os, socket
from pathlib import Path
secret = {secret!r}
for place in {places!r}:
    try:
        Path(place).write_text(secret)
    except OSError:
        pass  # then there is nothing to be read; root looks at whose the place is
listening = socket.create_server(("127.0.0.1", 0))
words = [b"user", {mark!r}.encode(), secret.encode()]
add_key, to_user = {{"x86_64": 248}}.get(os.uname().machine, 217), ctypes.c_long(-4)
key = ctypes.CDLL(None).syscall(
    ctypes.c_long(add_key), *words[:3], ctypes.c_long(len(secret)), to_user
)
json.dumps([os.getpid(), listening.getsockname()[1], key])
"""


def ask(*command: str) -> str:
    """What a program of the machine's prints; nothing if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Seat:
    """One of the two servers, as systemd and the kernel have it."""

    user: str
    unit: str
    account: str
    uid: int
    home: Path
    server_pid: int
    kernel_pid: int

    @classmethod
    def of(cls, student: Student, kernel_pid: int) -> Seat:
        """Raises ApplianceError if it doesn't run as it should."""
        unit = student.server.unit
        account = ask("systemctl", "show", "--property=User", "--value", unit)
        number = ask("systemctl", "show", "--property=MainPID", "--value", unit)
        try:
            entry = pwd.getpwnam(account)
        except KeyError as error:
            raise ApplianceError(
                "cannot test the isolation",
                why=f"systemd says nothing of {unit}",
                mend="sudo appliance doctor",
            ) from error
        return cls(
            student.server.user, unit, account, entry.pw_uid, Path(entry.pw_dir), int(number or 0),
            kernel_pid,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """All that tries and their judges need to know."""

    places: Places
    attacker: Seat
    neighbour: Seat
    secret: str
    """Is in the neighbour's files, and in the journal."""
    mark: str
    """A part of the names of files that a try would write."""
    port: int
    """Of the neighbour's, on loopback."""
    key: int
    """The number of a key in the neighbour's keyring; -1 if the kernel gives out none."""
    cookies: frozenset[str]
    """Those that a browser logged in at the hub sends to the neighbour's server."""


def set_up(places: Places, attacker: Student, neighbour: Student) -> Scene:
    """Let the neighbour put the secret where others must not find it."""
    secret, mark = secrets.token_hex(16), f"isolation-{secrets.token_hex(4)}"
    # By the programs' own means: root writes nothing into homes.
    pid = int(attacker.run("import os\nstr(os.getpid())"))
    files = [f"{folder}/{mark}" for folder in TEMPORARY]
    home = neighbour.run("import os\nos.path.expanduser('~')")
    prepared = neighbour.run(
        _PREPARE.format(secret=secret, mark=mark, places=[*files, f"{home}/{mark}"])
    )
    kernel, port, key = json.loads(prepared)
    ask("systemd-cat", "--identifier=appliance-isolation", "echo", secret)
    ask("journalctl", "--sync")
    return Scene(
        places, Seat.of(attacker, pid), Seat.of(neighbour, int(kernel)), secret, mark, int(port),
        int(key), attacker.cookies_for(neighbour),
    )  # fmt: skip


def state_of(pid: int) -> str:
    """The letter of a process's state, proc_pid_stat(5); "" if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def status_of(pid: int) -> dict[str, str]:
    """The lines of proc_pid_status(5)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def listening_ports(uids: set[int]) -> dict[int, int]:
    """TCP ports on which programs of some users listen, with the socket; proc_net_tcp(5)."""
    found = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{name}").read_text().splitlines()[1:]
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[3] == "0A" and int(words[7]) in uids:
                found[int(words[1].rpartition(":")[2], 16)] = int(words[9])
    return found


def sockets_of(pid: int) -> set[int]:
    """The numbers of the sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            kind, _, number = os.readlink(entry).partition(":")  # noqa: PTH115
        except OSError:
            continue
        if kind == "socket":
            found.add(int(number.strip("[]")))
    return found


def seen_from(seat: Seat, path: str) -> list[str]:
    """What a folder holds as the server sees it."""
    try:
        return sorted(os.listdir(f"/proc/{seat.kernel_pid}/root{path}"))  # noqa: PTH208
    except OSError:
        return []


def place_of(seat: Seat, folder: str) -> tuple[int, int]:
    """By which numbers the kernel knows a folder as the server sees it."""
    try:
        found = os.stat(f"/proc/{seat.kernel_pid}/root{folder}")  # noqa: PTH116
    except OSError:
        return -1, -1
    return found.st_dev, found.st_ino


def room_of(seat: Seat, folder: str) -> tuple[int, int]:
    """How much a folder's file system holds as the server has it, and the server's memory limit."""
    try:
        found = os.statvfs(f"/proc/{seat.kernel_pid}/root{folder}")
    except OSError:
        return -1, -1
    limit = ask("systemctl", "show", "--property=MemoryMax", "--value", seat.unit)
    return found.f_blocks * found.f_frsize, int(limit) if limit.isdecimal() else -1


def uid_of(account: str) -> int:
    """The number of a system account; -1 where there is none."""
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return -1
