"""The machine around the appliance: room, memory, control groups, clock, units, packages, names."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from appliance.config.schema import Config
from appliance.doctor.layer import INSTALLER, starting
from appliance.doctor.report import Check, Fix, fail, fine, warn
from appliance.doctor.system import System, Unit
from appliance.places import Places
from appliance.rollout.preload import PRELOAD_UNITS
from appliance.rollout.services import SOCKET_UNITS, UNITS
from appliance.sizes import short_size

OUR_UNITS: Final = (
    "appliance.target", *SOCKET_UNITS, *UNITS.values(), *PRELOAD_UNITS, "appliance-upkeep.timer",
)  # fmt: skip
RULES: Final = Path("/etc/tmpfiles.d/appliance.conf")
_IN_WORDS: Final = {"cpu": "processor", "memory": "memory", "pids": "processes"}
CONTROLLERS: Final = frozenset(_IN_WORDS)
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
_GROUPS: Final = Path("/sys/fs/cgroup")
_MIB: Final = 2**20
_FEW_BYTES: Final = 512 * _MIB
_NO_BYTES: Final = 32 * _MIB
_SHARE: Final = 0.03
_NO_ROOM: Final = "people can't save, and accounts can't be changed"
# What the disk says when it is broken, or when Linux has stopped writing to it for that.
_BROKEN: Final = frozenset({errno.EIO, errno.EROFS, errno.EUCLEAN})
# Released long ago, so a clock before it is wrong.
_EARLIEST: Final = 1767225600.0


def room(places: Places) -> Iterator[Check]:
    """Bytes and inodes where the appliance, the users and the system write."""
    for path, total, free, inodes, free_inodes in disks(places):
        name = f"room on {path}"
        if free < _NO_BYTES:
            yield fail(
                name, f"only {short_size(free)} of {short_size(total)} can be written any more",
                why=_NO_ROOM, mend=f"sudo du -xh --max-depth=2 {path} | sort -h | tail -20",
            )  # fmt: skip
        elif inodes and not free_inodes:
            yield fail(
                name, f"no file can be made any more, though {short_size(free)} are free",
                why=f"there are {inodes} already; {_NO_ROOM}",
                mend=f"sudo du -x --inodes --max-depth=2 {path} | sort -n | tail -20",
            )  # fmt: skip
        elif free < min(_FEW_BYTES, total * _SHARE) or (inodes and free_inodes < inodes * _SHARE):
            yield warn(
                name, f"{short_size(free)} of {short_size(total)} and {free_inodes} files are left",
                mend=f"sudo du -xh --max-depth=2 {path} | sort -h | tail -20",
            )  # fmt: skip
        else:
            yield fine(name, f"{short_size(free)} of {short_size(total)} free")


def writing(places: Places) -> Iterator[Check]:
    """Whether disks take what is written to them; root alone can try."""
    told: set[int] = set()
    for path in (places.state, places.homes, places.class_files):
        try:
            device = path.stat().st_dev
            if device in told:
                continue
            told.add(device)
            with tempfile.TemporaryFile(dir=path) as file:
                file.write(b"?")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in _BROKEN:
                yield fail(
                    f"writing to {path}", "the disk takes nothing any more",
                    why=f"{error.strerror}; {_NO_ROOM}",
                    mend="sudo dmesg | grep -i error | tail -20; when the disk is well, or another "
                    "one is in its place: sudo reboot",
                )  # fmt: skip


def disks(places: Places) -> list[tuple[str, int, int, int, int]]:
    """Each file system that matters, once: path, bytes, free bytes, files, free files."""
    found, seen = [], set()
    for path in (Path("/"), places.homes, places.state, places.class_files, places.run):
        try:
            device, facts = path.stat().st_dev, os.statvfs(path)
        except OSError:
            continue
        if device in seen:
            continue
        seen.add(device)
        unit = facts.f_frsize
        found.append(
            (str(path), facts.f_blocks * unit, facts.f_bavail * unit, facts.f_files, facts.f_favail)
        )
    return found


def memory_facts() -> dict[str, int]:
    """What /proc/meminfo says, in bytes."""
    facts = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        facts[name] = int(value.split()[0]) * 1024
    return facts


def memory() -> Iterator[Check]:
    facts = memory_facts()
    total, available = facts["MemTotal"], facts["MemAvailable"]
    swap, swap_free = facts.get("SwapTotal", 0), facts.get("SwapFree", 0)
    text = f"{short_size(available)} of {short_size(total)} free"
    if available < min(256 * _MIB, total * 0.05):
        yield warn(
            "memory", f"only {text}", why="servers will be slow, or ended by Linux",
            mend="appliance server list; appliance limits suggest",
        )  # fmt: skip
    elif swap and swap_free < swap * 0.1:
        yield warn(
            "memory", f"{text}, and the swap is full", mend="appliance server list; free --human"
        )
    else:
        yield fine("memory", text + (f", {short_size(swap)} of swap" if swap else ", no swap"))


def control_groups() -> Iterator[Check]:
    """Limits of servers need Linux's control groups, version 2."""
    try:
        found = set((_GROUPS / "cgroup.controllers").read_text().split())
    except OSError:
        yield warn(
            "control groups", "the limits of servers have no effect",
            why="this machine has the old layout of control groups",
            mend="boot with systemd.unified_cgroup_hierarchy=1",
        )  # fmt: skip
        return
    missing = [_IN_WORDS[one] for one in sorted(CONTROLLERS - found)]
    if missing:
        yield warn(
            "control groups", f"servers have no limits for: {', '.join(missing)}",
            why="the kernel, or the container that this is, doesn't offer these controllers",
            mend="on a Raspberry Pi: cgroup_enable=memory in /boot/firmware/cmdline.txt",
        )  # fmt: skip
    else:
        yield fine("control groups", "limits of memory, processor and processes work")


def clock(system: System, now: float, newest: float) -> Iterator[Check]:
    """Sessions, certificates and schedules go wrong with the clock."""
    mend = "sudo timedatectl set-ntp true; timedatectl"
    if now < max(_EARLIEST, newest - 86400):
        yield fail(
            "clock", "the machine's clock is in the past",
            why="the appliance has files from days later", mend=mend,
        )  # fmt: skip
        return
    done = system.run("timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized")
    values = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    if values.get("NTPSynchronized") == "no" and _is_on_its_own():
        why = "no time server answers" if values.get("NTP") == "yes" else "no time service is on"
        yield warn("clock", "nobody sets the machine's clock right", why=why, mend=mend)
    else:
        yield fine("clock", "set by a time server" if values else "looks right")


def _is_on_its_own() -> bool:
    """Whether this isn't a container, whose host has the clock."""
    return not Path("/run/systemd/container").exists()


def units(system: System, config: Config | None) -> Iterator[Check]:
    """Our units, and whether systemd reads what is on the disk."""
    found = system.units(*OUR_UNITS)
    missing = [unit.name for unit in found.values() if unit.is_missing]
    if missing:
        names = ", ".join(missing)
        yield fail("units", f"not installed as they should be: {names}", mend=INSTALLER)
        return
    wanted = set(OUR_UNITS) - _unwanted(config)
    problems = list(_problems_of(found, wanted, system))
    yield from problems or [fine("units", f"{len(wanted)} units run")]


def _problems_of(found: dict[str, Unit], wanted: set[str], system: System) -> Iterator[Check]:
    if any(unit.needs_reload for unit in found.values()):
        yield warn(
            "units", "systemd hasn't read the units that are on the disk",
            mend="sudo systemctl daemon-reload",
            fix=Fix("systemctl daemon-reload", partial(system.must, "systemctl", "daemon-reload")),
        )  # fmt: skip
    for name, unit in found.items():
        if name in wanted and not (unit.runs or unit.starts):
            yield warn(
                "units", f"{name} is {unit.text}", mend=f"sudo systemctl restart {name}",
                fix=starting(system, name),
            )  # fmt: skip
    if found["appliance.target"].enabled not in {"enabled", "enabled-runtime"}:
        enable = ("systemctl", "enable", "appliance.target")
        yield warn(
            "units", "the appliance won't start with the machine",
            mend=f"sudo {' '.join(enable)}",
            fix=Fix("enable appliance.target", partial(system.must, *enable)),
        )  # fmt: skip


def _unwanted(config: Config | None) -> set[str]:
    """Daemons that the settings leave out."""
    off = set()
    for unit, wanted in zip(
        sorted(PRELOAD_UNITS),
        (config.preload.kernels, config.preload.servers) if config else (False, False),
        strict=True,
    ):
        if not wanted:
            off.add(unit)
    return off


def folders(system: System, places: Places) -> Iterator[Check]:
    """Owners and modes of our own folders, as tmpfiles.d has them; users' homes are none of it."""
    wrong = [text for line in _lines(RULES) if (text := _difference(line))]
    create = Fix(
        "set owners and modes by systemd-tmpfiles",
        partial(system.must, "systemd-tmpfiles", "--create", str(RULES)),
    )
    if not RULES.exists():
        yield fail("folders", f"there is no {RULES}", mend=INSTALLER)
    elif wrong:
        yield fail(
            "folders", f"not as they should be: {'; '.join(wrong[:5])}",
            mend=f"sudo systemd-tmpfiles --create {RULES}", fix=create,
        )  # fmt: skip
    elif open_to_all := _read_by_others(places):
        names = " ".join(open_to_all)
        yield fail(
            "folders", f"everybody on this machine may read {names}",
            why="there can be passwords in it", mend=f"sudo chmod 600 {names}",
            fix=Fix("let root alone read it", partial(system.must, "chmod", "600", *open_to_all)),
        )  # fmt: skip
    else:
        yield fine("folders", "owners and modes are right")


def _read_by_others(places: Places) -> list[str]:
    """Of the files with secrets that people edit or copy by hand."""
    files = [places.config_file, places.settings / "backup.passphrase"]
    return [str(path) for path in files if path.exists() and path.stat().st_mode & 0o004]


def _lines(rules: Path) -> list[list[str]]:
    try:
        text = rules.read_text()
    except OSError:
        return []
    found = [line.split() for line in text.splitlines()]
    return [words for words in found if len(words) >= 5 and words[0] == "d"]


def _difference(words: list[str]) -> str:
    _, path, mode, user, group, *_ = words
    try:
        facts = os.stat(path)  # noqa: PTH116 - what a link leads to
    except OSError:
        return f"{path} is missing"
    if facts.st_mode & 0o7777 != int(mode, 8):
        return f"{path} has the mode {facts.st_mode & 0o7777:04o}, not {mode}"
    owner = f"{_name_of(facts.st_uid, 'passwd')}:{_name_of(facts.st_gid, 'group')}"
    return "" if owner == f"{user}:{group}" else f"{path} belongs to {owner}, not {user}:{group}"


def _name_of(number: int, kind: str) -> str:
    try:
        found = pwd.getpwuid(number)[0] if kind == "passwd" else grp.getgrgid(number)[0]
    except KeyError:
        return str(number)
    return str(found)


def packages(system: System) -> Iterator[Check]:
    """An installation of the distribution's that was cut off keeps all later ones from working."""
    done = system.run("dpkg", "--audit", seconds=10)
    if done.code == 127:
        return
    if done.out.strip():
        first = done.out.strip().splitlines()[0].rstrip(":")
        yield warn(
            "dpkg", "an installation of packages was cut off", why=first,
            mend="sudo dpkg --configure -a; sudo apt-get --fix-broken install",
        )  # fmt: skip
    else:
        yield fine("dpkg", "no package is half installed")


def name_service(system: System) -> Iterator[Check]:
    """Everything but installing packages works without."""
    done = system.run("getent", "ahosts", "pypi.org", seconds=3)
    if done.code:
        yield warn(
            "names", "names of the Internet can't be looked up",
            why="without, nobody can install packages; all else works",
            mend="resolvectl status; cat /etc/resolv.conf",
        )  # fmt: skip
    else:
        yield fine("names", "names of the Internet can be looked up")


def own_name() -> Iterator[Check]:
    """sudo and mail are slow on a machine that doesn't know itself."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError:
        yield warn(
            "own name", f"the machine doesn't know its own name, {name}",
            mend=f"echo '127.0.1.1 {name}' | sudo tee -a /etc/hosts",
        )  # fmt: skip


def isolation(config: Config) -> Iterator[Check]:
    """How far users' pages are kept apart, and whether others on the network can listen."""
    if config.http.content_host:
        apart = f"users' servers have a host name of their own, {config.http.content_host}"
    else:
        apart = "one host name for all; each server has cookies and a log-in of its own"
    yield fine("isolation", apart)
    if not config.https.is_on and config.http.address not in _LOOPBACK:
        yield warn(
            "encryption", "passwords cross the network in the clear",
            why="HTTPS is off", mend="appliance https --help",
        )  # fmt: skip


def facts(places: Places, system: System) -> dict[str, Any]:
    """Numbers for the status page."""
    found = memory_facts()
    return {
        "memory": {
            "total": found["MemTotal"], "available": found["MemAvailable"],
            "swap_total": found.get("SwapTotal", 0), "swap_free": found.get("SwapFree", 0),
        },
        "disks": [
            {"path": path, "total": total, "free": free, "files": files, "files_free": files_free}
            for path, total, free, files, files_free in disks(places)
            if path != str(places.run)
        ],
        "units": {name: unit.text for name, unit in system.units(*OUR_UNITS).items()},
        "load": list(os.getloadavg()),
    }  # fmt: skip
