#!/usr/bin/env python3
"""Install the Hub Appliance on this machine, or try it out in a folder.

    curl -L URL/bootstrap.py | sudo python3 - --admin ada
    sudo python3 bootstrap.py --admin ada
    python3 bootstrap.py --trial

One file with the standard library alone, because it is piped into Python. Nothing happens before
the last line calls main(), so a download that was cut runs nothing. The syntax is that of Python
3.6, so that a machine that is too old is told so in a sentence. It checks the machine, brings the
few Debian packages and `uv`, makes the hub's environment, and hands over to the package
`installer` in it, which reports back in lines of JSON.
"""

import argparse
import concurrent.futures
import configparser
import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, NoReturn

VERSION = "0.1.0"
DISTRIBUTION = "hub-appliance"
OLDEST_PYTHON = (3, 11)
TESTED_DEBIAN = ("12", "13")
OLDEST_UBUNTU = (24, 4)

# python3-pip-whl has pip as one file that runs without being installed: 1.5 s, where a venv takes
# 27 s on a small machine. python3-pystemd is built for the system's own Python, so no compiler is
# needed. git is what nbgitpuller's links work with, python3-venv what people make their own
# environments with.
PACKAGES = (
    "python3-pip-whl", "python3-venv", "python3-pystemd",
    "nginx", "ca-certificates", "dbus", "git",
)  # fmt: skip

SOFTWARE = "/opt/appliance"
LOG_FILE = "/var/log/appliance-install.log"
LOCK_FILE = "/run/appliance-install.lock"
# Says that our own apt-get was running, so that we may mend what a power cut left of it.
APT_MARKER = "/var/lib/appliance-install.apt"
RENDERED_CONFIG = "/var/lib/appliance/rendered/hub.json"
SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

MIB = 2**20
MEMORY_NEEDED = 850 * MIB
DISK_NEEDED = 2500 * MIB
DISK_NEEDED_AGAIN = 900 * MIB
INODES_NEEDED = 60000
LOCK_PATIENCE_SECONDS = 600
NETWORK_TIMEOUT_SECONDS = 8
OLDEST_CLOCK = 1_750_000_000

# The same as in appliance.names: an admin's name must be refused before the work, not after it.
USERNAME = r"[a-z0-9][a-z0-9._@-]{0,47}"
RESERVED = frozenset(
    "root admin administrator hub proxy spawner appliance system systemd nobody daemon "
    "service services user users group groups api login logout signup static www-data".split()
)

DONE, REFUSED, NOT_ROOT, INTERRUPTED = 0, 1, 77, 130

PROXY_ADVICE = "behind a proxy: sudo https_proxy=http://HOST:PORT http_proxy=http://HOST:PORT ..."
PROXY_ADVICE += "; where the network opens TLS: --ca-file FILE"
NETWORK_ADVICE = f"see whether this machine reaches it; {PROXY_ADVICE}; no network: --wheels"


class Problem(NamedTuple):
    """Something that keeps the appliance from working on this machine, and what to do about it."""

    what: str
    mend: str
    code: int = REFUSED


class StageError(Exception):
    """A stage could not do its work: what, the last lines that were said, and what to do."""

    def __init__(self, what: str, why: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.mend = mend


# ---- the command line ----------------------------------------------------------------------------


def parse_options(arguments: "list[str]") -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Install the Hub Appliance on this machine, or try it out in a folder.",
        epilog="Running it again heals what is missing and changes nothing else. " + PROXY_ADVICE,
    )
    add = parser.add_argument
    # fmt: off
    add("--admin", metavar="NAME", action="append", default=[],
        help="make NAME an admin; may be repeated")
    add("--port", type=int, help="where to listen (80; in a trial 8000)")
    add("--trial", metavar="DIR", nargs="?", const="appliance-trial",
        help="no root, no systemd: run in a folder")
    add("--version", metavar="V", help="install this release instead of " + VERSION)
    add("--source", metavar="PLACE",
        help="install from a checkout, a wheel, an sdist, or the address of one of the last two")
    add("--index", metavar="PLACE",
        help="look for releases in this package index (an address) or folder")
    add("--releases", action="store_true",
        help="only print the releases that can be had, in JSON, newest first")
    add("--pre", action="store_true", help="--releases: those that are being tried out, too")
    add("--fetch", metavar="DIR",
        help="only fetch the release's own wheel into DIR, and print its path")
    add("--wheels", metavar="DIR",
        help="take all Python packages from this folder, none from the network")
    add("--bundle", metavar="FILE",
        help="take everything from this file of --make-bundle, nothing from a network")
    add("--make-bundle", metavar="FILE",
        help="only write a file for machines without a network, of this Debian release")
    add("--python", metavar="V", nargs="+", default=["3.11", "3.13"],
        help="--make-bundle: for these Pythons (3.11 3.13)")
    add("--without-debs", action="store_true", help="--make-bundle: leave Debian's packages out")
    add("--user-requirements", metavar="FILE", help="install these too for everybody's notebooks")
    add("--ca-file", metavar="FILE",
        help="trust these certificate authorities too while downloading (PEM)")
    add("--quota", action="store_true",
        help="turn quotas on for the disks of homes and classes, where that is possible")
    add("--check", action="store_true",
        help="only check whether the machine is fit, change nothing")
    add("--yes", action="store_true", help="ask nothing")
    add("--quiet", action="store_true", help="print only addresses, set-up links and failures")
    # fmt: on
    options = parser.parse_args(arguments)
    options.debs = None
    check_options(parser, options)
    return options


def check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse what can't be, and make paths absolute."""
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error("--port takes a number from 1 to 65535")
    options.admin = [check_admin_name(parser, name) for name in options.admin]
    paths = "wheels user_requirements ca_file trial fetch bundle make_bundle"
    for name in paths.split():
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    if options.wheels and not os.path.isdir(options.wheels):
        parser.error("--wheels: there is no folder " + options.wheels)
    for name in ("user_requirements", "ca_file", "bundle"):
        path = getattr(options, name)
        if path and not os.access(path, os.R_OK):
            parser.error("--{}: cannot read {}".format(name.replace("_", "-"), path))
    if options.ca_file:
        try:
            ssl.create_default_context(cafile=options.ca_file)
        except OSError as error:
            parser.error(
                f"--ca-file: {options.ca_file} holds no certificates in PEM form ({error})"
            )


def check_admin_name(parser: argparse.ArgumentParser, text: str) -> str:
    name = text.strip().lower()
    if ":" in name:
        parser.error("--admin takes a name alone: everybody could see a password on a command line")
    if name in RESERVED:
        parser.error(f"--admin: the name {text!r} is reserved; choose another")
    if not re.match("^" + USERNAME + r"\Z", name):
        parser.error(
            f"--admin: cannot use {text!r} as a user name; choose 1 to 48 of a-z, 0-9, '.', '_', "
            "'-' and '@', beginning with a letter or digit"
        )
    return name


# ---- showing progress ----------------------------------------------------------------------------


class Log:
    """Everything that was run and said, for the person who has to find out why."""

    def __init__(self, path: str) -> None:
        self.path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.file = os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")
        self.write(f"==== bootstrap {VERSION} on {platform.platform()}")

    def write(self, line: str) -> None:
        # A full disk must not hide the failure that it caused.
        with contextlib.suppress(OSError):
            self.file.write(time.strftime("%F %T ") + line.rstrip() + "\n")
            self.file.flush()


class Screen:
    """Stages with their time: a moving line on a terminal, plain lines anywhere else."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        fancy = "utf" in (sys.stdout.encoding or "").lower()
        self.frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if fancy else "|/-\\"
        self.tick, self.cross = ("✓", "✗") if fancy else ("ok", "!!")
        self.coloured = self.terminal and not os.environ.get("NO_COLOR")
        self.started = self.stage_started = time.monotonic()
        self.title = self.detail = ""
        self.stopping = threading.Event()
        self.thread = None  # type: threading.Thread | None

    def say(self, text: str = "") -> None:
        if not self.quiet:
            self.write(text + "\n")

    def write(self, text: str) -> None:
        # A lost connection or a closed pipe must not end an install half way.
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(text)
            sys.stdout.flush()

    def colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.coloured else text

    def begin(self, title: str) -> None:
        """End the stage before, and begin another."""
        self.end()
        self.title, self.detail, self.stage_started = title, "", time.monotonic()
        if self.terminal and not self.quiet:
            self.stopping.clear()
            self.thread = threading.Thread(target=self.spin, daemon=True)
            self.thread.start()
        else:
            minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
            self.say(f"{minutes:3d}:{seconds:02d}  {title} ...")

    def spin(self) -> None:
        turn = 0
        while not self.stopping.wait(0.25):
            turn += 1
            seconds = int(time.monotonic() - self.stage_started)
            line = f"{self.frames[turn % len(self.frames)]} {self.title}  {seconds} s"
            room = shutil.get_terminal_size().columns - len(line) - 3
            if self.detail and room > 10:
                line += "  " + self.detail[:room]
            self.write("\r\033[K" + line)

    def end(self, ok: bool = True) -> None:
        if self.thread:
            self.stopping.set()
            self.thread.join()
            self.thread = None
            self.write("\r\033[K")
            mark = self.colour("32", self.tick) if ok else self.colour("31", self.cross)
            self.say(f"{mark} {self.title}  {time.monotonic() - self.stage_started:.0f} s")
        self.title = ""

    def fail(self, failure: StageError, log: "Log | None") -> None:
        stage = self.title
        self.end(ok=False)
        lines = ["", self.colour("31", "failed: ") + (stage + ": " if stage else "") + failure.what]
        if failure.why:
            lines += ["  why      " + failure.why.rstrip().replace("\n", "\n           ")]
        if failure.mend:
            lines += ["  to mend  " + failure.mend]
        if log:
            lines += ["  log      " + log.path]
            log.write(f"failed: {stage}: {failure.what}: {failure.why}")
        complain([*lines, "Running the same command again goes on from here."])


def complain(lines: "list[str]") -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write("\n".join(lines) + "\n")
        sys.stderr.flush()


# ---- running other programs ----------------------------------------------------------------------


class Runner:
    """Runs programs with their output in the log, and stops them in an orderly way on Ctrl-C."""

    def __init__(self, screen: Screen, log: Log, environment: "dict[str, str]") -> None:
        self.screen = screen
        self.log = log
        self.environment = environment

    def run(
        self,
        command: "list[str]",
        failure: str,
        mend: str = "",
        on_line: "Callable[[str], object] | None" = None,
    ) -> None:
        """Run a command; `on_line` says True for lines that are not for log and screen."""
        self.log.write("+ " + " ".join(shlex.quote(word) for word in command))
        last = deque(maxlen=12)  # type: deque[str]
        # stdin is the pipe that this very file came through; a session of its own keeps Ctrl-C from
        # killing dpkg in the middle of a package.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=self.environment, start_new_session=True, cwd="/",
        )  # fmt: skip
        try:
            for raw in process.stdout or ():
                line = raw.decode("utf-8", "replace").rstrip()
                if on_line and on_line(line):
                    continue
                self.log.write(line)
                if line.strip():
                    last.append(line)
                if line[:2] not in ("", "+ "):
                    self.screen.detail = line.strip()
            code = process.wait()
        except BaseException:
            end_group(process)
            raise
        if code:
            raise StageError(failure, "\n".join(last) or f"it ended with code {code}", mend)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """SIGINT lets apt-get finish the package it is at; what doesn't heed it is told more firmly."""
    for number, patience in ((signal.SIGINT, 60), (signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


# ---- checking the machine ------------------------------------------------------------------------


class Machine:
    """What the checks look at; tests put a folder and answers of their own in its place."""

    def __init__(self, root: str = "/") -> None:
        self.root = root
        self.python = sys.version_info[:2]
        self.user = os.geteuid()
        self.cpu = platform.machine()
        self.clock = time.time()

    def path(self, path: str) -> str:
        return os.path.join(self.root, path.lstrip("/"))

    def read(self, path: str) -> str:
        try:
            with open(self.path(path), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        return os.path.lexists(self.path(path))

    def room(self, path: str) -> "tuple[int, int | None, bool]":
        """Free bytes, free inodes (None: no such limit), and whether programs may run there."""
        path = self.path(path)
        while not os.path.exists(path):
            path = os.path.dirname(path)
        found = os.statvfs(path)
        may_run = not found.f_flag & getattr(os, "ST_NOEXEC", 8)
        return found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None, may_run

    def output(self, *command: str) -> str:
        """What a command says, or nothing if it fails."""
        try:
            return subprocess.run(
                list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, timeout=30, check=True,
            ).stdout.decode("utf-8", "replace")  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""

    def reach(self, host: str, port: int) -> str:
        """Why a host can't be reached, or nothing."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            return f"its name cannot be resolved ({error.strerror or error})"
        why = ""
        for family, kind, protocol, _, address in found[:4]:
            with contextlib.closing(socket.socket(family, kind, protocol)) as attempt:
                attempt.settimeout(NETWORK_TIMEOUT_SECONDS)
                try:
                    attempt.connect(address)
                except OSError as error:
                    why = f"it does not answer on port {port} ({error.strerror or error})"
                else:
                    return ""
        return why

    def lock_holder(self, path: str) -> "int | None":
        """The process that holds a lock as apt and dpkg do, by fcntl; 0 if its id is unknown."""
        form = "hhqqi4x"
        try:
            with open(self.path(path), "rb+") as file:
                wanted = struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                found = struct.unpack(form, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
        except OSError:
            return None
        return None if found[0] == fcntl.F_UNLCK else max(int(found[4]), 0)

    def process_name(self, pid: int) -> str:
        return self.read(f"/proc/{pid}/comm").strip() or f"process {pid}"

    def listeners(self, port: int) -> "list[int]":
        """The processes that listen on a TCP port; 0 for one that we can't see into."""
        inodes = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in self.read(table).splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
        pids = {pid for pid, inode in self.open_sockets() if inode in inodes} if inodes else set()
        return sorted(pids) or ([0] if inodes else [])

    def open_sockets(self) -> "Iterator[tuple[int, str]]":
        for link in glob.iglob(self.path("/proc/[0-9]*/fd/*")):
            with contextlib.suppress(OSError):
                yield int(link.split("/")[-3]), os.readlink(link)


def check_machine(
    machine: Machine, options: argparse.Namespace
) -> "tuple[list[Problem], list[str]]":
    """Everything that is wrong, at once, and what is worth knowing."""
    notes = []  # type: list[str]
    problems = list(check_system(machine, options))
    if not options.trial:
        problems += check_distribution(machine, notes)
        problems += check_dpkg(machine, notes)
        problems += check_services(machine)
    problems += check_room(machine, options)
    problems += check_port(machine, options)
    problems += check_network(machine, options, notes)
    if options.trial and not find_pip():
        mend = "install it: sudo apt-get install python3-venv, or your system's python3-pip"
        problems.append(Problem("Python has no pip", mend))
    return problems, notes


def check_system(machine: Machine, options: argparse.Namespace) -> "Iterator[Problem]":
    if machine.user != 0 and not options.trial:
        yield Problem("this is not root", "run it with sudo, or try it out with --trial", NOT_ROOT)
    if machine.python < OLDEST_PYTHON:
        yield Problem(
            "Python {}.{} is too old".format(*machine.python),
            "use Debian 12 or newer, or Ubuntu 24.04 or newer: they bring Python 3.11 or newer",
        )
    if machine.cpu not in ("x86_64", "aarch64"):
        yield Problem(
            f"the processor is {machine.cpu}", "use a 64-bit PC (x86_64) or ARM (aarch64)"
        )
    if machine.clock < OLDEST_CLOCK:
        yield Problem(
            "the clock says " + time.strftime("%F", time.gmtime(machine.clock)),
            "set it (timedatectl set-ntp true): with a wrong date downloads are refused",
        )


def check_distribution(machine: Machine, notes: "list[str]") -> "Iterator[Problem]":
    pairs = (line.partition("=") for line in machine.read("/etc/os-release").splitlines())
    release = {key: value.strip("\"'") for key, _, value in pairs}
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    shown = release.get("PRETTY_NAME") or "an unknown system"
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if name == "debian" and version in TESTED_DEBIAN:
        return
    if name == "debian":
        accepted = not numbers or numbers[0] > 13
    elif name == "ubuntu":
        accepted = numbers >= OLDEST_UBUNTU
    else:
        relatives = release.get("ID_LIKE", "").split()
        accepted = "debian" in relatives and machine.python >= OLDEST_PYTHON
    if accepted:
        notes.append(f"{shown}: not tested, should work (tested are Debian 12 and 13)")
    else:
        mend = "use Debian 12 or 13, or Ubuntu 24.04 or newer; --trial works on any Linux"
        yield Problem(f"{shown} is not supported", mend)


def check_services(machine: Machine) -> "Iterator[Problem]":
    if not machine.exists("/run/systemd/system"):
        yield Problem(
            f"systemd is not running (process 1 is {machine.process_name(1)})",
            "use a machine or a system container that boots systemd; elsewhere --trial works",
        )
        return
    if not machine.exists("/sys/fs/cgroup/cgroup.controllers"):
        yield Problem(
            "control groups are mounted the old way (cgroup v1)",
            "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line and reboot",
        )
        return
    controllers = machine.read("/sys/fs/cgroup/cgroup.controllers").split()
    missing = [name for name in ("cpu", "memory", "pids") if name not in controllers]
    if missing:
        words = " ".join("cgroup_enable=" + name for name in missing)
        yield Problem(
            "the kernel's control group controllers {} are off".format(", ".join(missing)),
            f"add {words} to the kernel's command line and reboot",
        )


def check_room(machine: Machine, options: argparse.Namespace) -> "Iterator[Problem]":
    found = re.search(r"^MemTotal:\s+(\d+) kB", machine.read("/proc/meminfo"), re.MULTILINE)
    memory = int(found.group(1)) * 1024 if found else MEMORY_NEEDED
    if memory < MEMORY_NEEDED:
        yield Problem(
            f"there are {memory // MIB} MB of memory", "give the machine 1 GB (1024 MB) or more"
        )
    place = software_of(options)
    again = machine.exists(place + "/user")
    needed = DISK_NEEDED_AGAIN if again else DISK_NEEDED
    free, inodes, may_run = machine.room(place)
    if free < needed:
        yield Problem(
            f"{free // MIB} MB are free on the disk of {place}", f"make {needed // MIB} MB free"
        )
    if inodes is not None and inodes < INODES_NEEDED and not again:
        yield Problem(
            f"the disk of {place} has room for {inodes} more files",
            f"use a file system with {INODES_NEEDED} free inodes (df -i)",
        )
    if not may_run:
        yield Problem(f"programs may not run from the disk of {place}", "mount it without 'noexec'")


def software_of(options: argparse.Namespace) -> str:
    return options.trial + "/software" if options.trial else SOFTWARE


def wanted_port(machine: Machine, options: argparse.Namespace) -> int:
    if options.port:
        return int(options.port)
    rendered = options.trial + "/state/rendered/hub.json" if options.trial else RENDERED_CONFIG
    try:
        return int(json.loads(machine.read(rendered))["http"]["port"])
    except (ValueError, KeyError, TypeError):
        return 8000 if options.trial else 80


def check_port(machine: Machine, options: argparse.Namespace) -> "Iterator[Problem]":
    port = wanted_port(machine, options)
    if options.trial:
        running = machine.read(options.trial + "/run/trial.pid").strip()
        if running.isdigit() and machine.exists("/proc/" + running):
            yield Problem(
                f"the trial in {options.trial} runs already",
                f"open http://localhost:{port}, or stop it with Ctrl-C where it runs",
            )
            return
        if port < 1024 and machine.user != 0:
            yield Problem(f"port {port} is for root alone", "choose one above 1023 with --port")
            return
    for pid in machine.listeners(port):
        unit = re.search(r"([^/\n]+\.service)", machine.read(f"/proc/{pid}/cgroup"))
        name = unit.group(1) if unit else ""
        # Only root can see whose it is; for others it is likely the appliance's own.
        hidden = not pid and machine.user != 0 and machine.exists(SOFTWARE + "/hub")
        if name == "appliance-proxy.service" or hidden:
            continue
        who = machine.process_name(pid) if pid else "another user's program"
        who += (f" ({name})" if name else "") + (f", process {pid}" if pid else "")
        ours_to_stop = name and not options.trial
        stop = f"stop it (systemctl disable --now {name})" if ours_to_stop else "stop that program"
        yield Problem(f"port {port} is taken by {who}", f"{stop}, or choose another with --port")
        return


def missing_packages(machine: Machine) -> "list[str]":
    query = ("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
    # dpkg-query fails when it knows one of them not at all; then ask one by one.
    said = machine.output(*query, *PACKAGES)
    said = said or "".join(machine.output(*query, name) for name in PACKAGES)
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in PACKAGES if name not in there]


def check_dpkg(machine: Machine, notes: "list[str]") -> "Iterator[Problem]":
    """Is dpkg in order? A package manager that runs now is only noted: we wait for it."""
    holder = package_manager(machine)
    if holder:
        notes.append(f"{holder} is running: will wait for it")
    elif not machine.exists(APT_MARKER):
        broken = re.findall(
            r"^Package: (\S+)\nStatus: \S+ \S+ (?:half-configured|half-installed|unpacked)$",
            machine.read("/var/lib/dpkg/status"), re.MULTILINE,
        )  # fmt: skip
        if broken or glob.glob(machine.path("/var/lib/dpkg/updates/*")):
            shown = ", ".join(broken[:5]) or "its journal is not empty"
            yield Problem(
                f"an earlier package installation was interrupted ({shown})",
                "run: dpkg --configure -a && apt-get -f install",
            )


def package_manager(machine: Machine) -> str:
    """Who holds the locks of apt and dpkg, for people to read, or nothing."""
    for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock"):
        pid = machine.lock_holder(path)
        if pid is not None:
            return f"{machine.process_name(pid)} (process {pid})" if pid else "the package manager"
    return ""


def check_network(
    machine: Machine, options: argparse.Namespace, notes: "list[str]"
) -> "Iterator[Problem]":
    """Names resolve and what will be asked answers, or the proxy before it."""
    wanted = {}  # type: dict[tuple[str, int], str]
    if not options.trial and not options.debs and missing_packages(machine):
        # What it would ask for; `indextargets` knows nothing before the first update.
        sites = re.findall("'(.+?)'", machine.output("apt-get", "--print-uris", "update"))
        if not sites:
            mend = "put one into /etc/apt/sources.list.d/ (sources.list(5))"
            yield Problem("apt has no source of packages", mend)
        for site in sites:
            add_target(wanted, site, "Debian packages", apt_proxy(machine, site))
    if not options.wheels:
        pip = pip_settings(machine)
        for url in index_urls(pip):
            add_target(wanted, url, "Python packages", pip.get("proxy", ""))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda target: machine.reach(*target), wanted))
    for ((host, _), purpose), why in zip(wanted.items(), answers):
        if why and purpose.startswith("Python") and machine.exists(SOFTWARE + "/wheels/cache"):
            notes.append(f"cannot reach {host} ({why}): only packages that are here can be used")
        elif why:
            mend = "mend the network or the name server (/etc/resolv.conf); " + PROXY_ADVICE
            yield Problem(
                f"cannot reach {host} for {purpose}: {why}", mend + "; without a network: --wheels"
            )


def apt_proxy(machine: Machine, site: str) -> str:
    scheme = urllib.parse.urlsplit(site).scheme
    said = machine.output("apt-config", "shell", "PROXY", f"Acquire::{scheme}::Proxy")
    words = shlex.split(said)
    return words[0].partition("=")[2] if words else ""


def add_target(wanted: "dict[tuple[str, int], str]", url: str, purpose: str, proxy: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return
    if not proxy and not urllib.request.proxy_bypass(parts.hostname):
        proxy = urllib.request.getproxies().get(parts.scheme, "")
    if proxy and proxy != "DIRECT":
        parts = urllib.parse.urlsplit(proxy if "://" in proxy else "http://" + proxy)
        purpose += " (the proxy)"
    if parts.hostname:
        wanted[parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)] = purpose


# ---- how this machine reaches Python packages ----------------------------------------------------

PIP_SETTINGS = (
    "index-url", "extra-index-url", "find-links", "cert", "client-cert", "proxy", "trusted-host",
    "no-index", "timeout",
)  # fmt: skip
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pip_variable(setting: str) -> str:
    return "PIP_" + setting.upper().replace("-", "_")


def pip_settings(machine: Machine) -> "dict[str, str]":
    """pip's own configuration: its files and PIP_ variables."""
    files = ["/etc/pip.conf", "/etc/xdg/pip/pip.conf"]
    files += [os.path.expanduser("~/.pip/pip.conf"), os.path.expanduser("~/.config/pip/pip.conf")]
    chosen = os.environ.get("PIP_CONFIG_FILE", "")
    files = [] if chosen == os.devnull else files + ([chosen] if chosen else [])
    values = {}  # type: dict[str, str]
    for path in files:
        parser = configparser.RawConfigParser()
        with contextlib.suppress(configparser.Error):
            parser.read_string(machine.read(path))
        for section in ("global", "download", "install"):
            if parser.has_section(section):
                values.update(parser.items(section))
    for name in PIP_SETTINGS:
        values[name] = os.environ.get(pip_variable(name)) or values.get(name, "")
    return {name: values[name].strip() for name in PIP_SETTINGS if values[name].strip()}


def index_urls(pip: "dict[str, str]") -> "list[str]":
    """Indexes to probe; pip's built-in one if pip is at hand to be asked."""
    if pip.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        return []
    urls = [pip.get("index-url") or built_in_index(), *pip.get("extra-index-url", "").split()]
    return [url for url in urls if url]


def unreached(said: str) -> str:
    """Why pip could not get through, in words, if that is what it says; else nothing."""
    found = re.search(r"connection broken by '(.*)': /", said)
    if not found:
        return ""
    reason = re.search(r"\[Errno -?\d+\] ([^'\")]+)|'([^'<>]{8,})'\)*$", found.group(1))
    words = (reason.group(1) or reason.group(2)).strip() if reason else found.group(1)
    return f"the package index can't be reached: {words}"


def find_pip() -> "list[str]":
    """A command that runs pip without installing it, or nothing."""
    bundled = glob.glob("/usr/share/python-wheels/pip-*.whl")
    bundled += glob.glob(os.path.dirname(os.__file__) + "/ensurepip/_bundled/pip-*.whl")
    if bundled:
        return [sys.executable, "-I", os.path.join(max(bundled), "pip")]
    installed = [sys.executable, "-m", "pip"]
    return installed if Machine().output(*installed, "--version") else []


def built_in_index() -> str:
    """Where pip looks when nothing is configured, as pip itself says; no host is named here."""
    command = find_pip()
    if not command:
        return ""
    code = "import sys; sys.path[:0] = sys.argv[1:]; "
    code += "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    place = [os.path.dirname(command[-1])] if command[1] == "-I" else []
    return Machine().output(sys.executable, "-c", code, *place).strip()


def adopt_from_sudo() -> "list[str]":
    """Take over proxies and pip's settings that sudo removed; the names of what was taken.

    sudo clears the environment, and an install behind a proxy then hangs. The sudo process above us
    still has its caller's. Who may run this as root may also set them with `sudo NAME=VALUE`.
    """
    taken = []  # type: list[str]
    if os.geteuid() != 0 or "SUDO_USER" not in os.environ:
        return taken
    wanted = set(PROXY_VARIABLES) | {name.upper() for name in PROXY_VARIABLES}
    wanted |= {pip_variable(name) for name in PIP_SETTINGS}
    machine, pid = Machine(), os.getppid()
    for _ in range(4):
        stat = machine.read(f"/proc/{pid}/stat")
        if stat[stat.find("(") + 1 : stat.rfind(")")] != "sudo":
            break
        for entry in machine.read(f"/proc/{pid}/environ").split("\0"):
            key, _, value = entry.partition("=")
            if key in wanted and value and key not in os.environ:
                os.environ[key] = value
                taken.append(key)
        pid = int(stat[stat.rfind(")") + 2 :].split()[1])
    return sorted(taken)


def child_environment(machine: Machine, options: argparse.Namespace) -> "dict[str, str]":
    """What programs that we start see: no stray Python settings, one way to Python's packages."""
    dropped = "VIRTUAL_ENV CONDA_PREFIX APPLIANCE_TRIAL LD_PRELOAD PIP_TARGET PIP_PREFIX PIP_USER"
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "LC_")) and key not in dropped.split()
    }
    pip = pip_settings(machine)
    # uv reads none of pip's settings; the installer translates these variables for it.
    environment.update({pip_variable(name): value for name, value in pip.items()})
    # Some programs read the one spelling, some the other.
    for name in PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper())
        if value:
            environment[name] = environment[name.upper()] = value
    bundle = ca_bundle(options.ca_file or pip.get("cert", ""), software_of(options))
    if bundle:
        environment.update(SSL_CERT_FILE=bundle, PIP_CERT=bundle)
        environment.pop("SSL_CERT_DIR", None)
    if options.wheels:
        environment.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=options.wheels)
    environment.update(
        PATH=environment.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
        LANG="C.UTF-8", LC_ALL="C.UTF-8", DEBIAN_FRONTEND="noninteractive", PYTHONUNBUFFERED="1",
        NEEDRESTART_SUSPEND="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1",
    )  # fmt: skip
    return environment


def ca_bundle(extra: str, software: str) -> str:
    """The system's authorities and those given to pip or to us, in one file."""
    if not extra or extra == SYSTEM_AUTHORITIES:
        return SYSTEM_AUTHORITIES if os.path.exists(SYSTEM_AUTHORITIES) else ""
    texts = []
    for path in (SYSTEM_AUTHORITIES, extra):
        if os.path.exists(path):
            with open(path, encoding="ascii", errors="replace") as file:
                texts.append(file.read().rstrip())
    # What the settings' authorities are rendered to has the system's already.
    if len(texts) == 2 and texts[0] in texts[1]:
        return extra
    bundle = software + "/ca-bundle.pem"
    try:
        os.makedirs(software, exist_ok=True)
        with open(bundle + ".new", "w", encoding="ascii", errors="replace") as out:
            out.write("\n".join([*texts, ""]))
        os.replace(bundle + ".new", bundle)
    except OSError as error:
        # The regular upkeep only looks, and may not write there.
        if error.errno != errno.EROFS:
            raise
        return bundle if os.path.exists(bundle) else extra
    return bundle


# ---- the stages ----------------------------------------------------------------------------------


class Bootstrap:
    """The stages in order; each finds out itself what is left to do."""

    def __init__(
        self, options: argparse.Namespace, machine: Machine, screen: Screen, log: Log
    ) -> None:
        self.options = options
        self.machine = machine
        self.screen = screen
        self.log = log
        self.software = software_of(options)
        self.python = sys.executable if options.trial else "/usr/bin/python3"
        self.runner = Runner(screen, log, child_environment(machine, options))
        self.built = self.software + "/hub"
        self.result = {}  # type: dict[str, Any]

    def run(self) -> None:
        interrupted = self.machine.exists(APT_MARKER)
        if not self.options.trial and (interrupted or missing_packages(self.machine)):
            self.screen.begin("Installing Debian packages")
            self.wait_for_package_manager()
            self.install_packages(interrupted)
        self.screen.begin("Fetching the appliance")
        os.makedirs(self.software + "/wheels", exist_ok=True)
        wheel = self.fetch_wheel()
        self.screen.begin("Building the hub's environment")
        self.build_hub_environment(wheel)
        self.hand_over(wheel)
        if self.options.bundle:
            self.keep_wheels()
        self.screen.end()

    # -- Debian packages

    def wait_for_package_manager(self) -> None:
        started, said = time.monotonic(), False
        while True:
            holder = package_manager(self.machine)
            if not holder:
                return
            waited = int(time.monotonic() - started)
            if waited > LOCK_PATIENCE_SECONDS:
                raise StageError(
                    "another package installation does not end",
                    f"{holder} has held the lock for {waited // 60} minutes",
                    "wait for it or stop it, then run the same command again",
                )
            if not said:
                self.log.write(f"waiting for {holder}")
                if not self.screen.terminal:
                    self.screen.say(f"         waiting for {holder} to end")
                said = True
            self.screen.detail = f"waiting for {holder} to end"
            time.sleep(2)

    def install_packages(self, interrupted: bool) -> None:
        with open(APT_MARKER, "w", encoding="ascii") as marker:
            marker.write("apt-get was started by the appliance's bootstrap\n")
        os.sync()
        if interrupted:
            self.log.write("an earlier run was interrupted here; finishing it")
            forget_downloads(self.machine)
            self.runner.run(["dpkg", "--configure", "-a"], "cannot finish the interrupted packages")
            with contextlib.suppress(StageError):
                self.update_lists()
            self.apt("--fix-broken", "install")
        wanted = missing_packages(self.machine)
        if "nginx" in wanted and not self.machine.exists("/etc/systemd/system/nginx.service"):
            # Debian starts what it installs, and nginx's own service would take port 80. The
            # appliance runs nginx by a unit of its own.
            command = ["systemctl", "mask", "nginx.service"]
            self.runner.run(command, "cannot keep nginx's own service off")
            os.makedirs(self.software, exist_ok=True)
            with open(self.software + "/nginx-masked", "w", encoding="ascii") as note:
                note.write("uninstalling takes the mask away\n")
        if wanted:
            self.install_wanted(wanted)
        # What apt downloaded reaches the disk before we say that all is well.
        os.sync()
        os.unlink(APT_MARKER)

    def install_wanted(self, wanted: "list[str]") -> None:
        if not self.options.debs and package_lists_are_fresh(self.machine):
            with contextlib.suppress(StageError):
                self.apt("install", *wanted)
                return
        try:
            self.update_lists()
        except StageError:
            # A source that none of it comes from may be out of order.
            with contextlib.suppress(StageError):
                self.apt("install", *wanted)
                return
            raise
        self.apt("install", *wanted)

    def update_lists(self) -> None:
        # Descriptions in other languages are a third of it; those that are there stay. Without the
        # last option, lists that can't be fetched are no failure.
        command = "apt-get -q -o Acquire::Languages=none -o APT::Get::List-Cleanup=false".split()
        command += ["-o", "APT::Update::Error-Mode=any", *self.apt_network(), "update"]
        mend = "see whether `apt-get update` works by itself; " + PROXY_ADVICE
        self.runner.run(command, "cannot read the lists of Debian packages", mend)

    def apt(self, *words: str) -> None:
        command = [
            "apt-get", "-q", "-y", "--no-install-recommends",
            "-o", f"DPkg::Lock::Timeout={LOCK_PATIENCE_SECONDS}",
            "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
            *self.apt_network(), *words,
        ]  # fmt: skip
        mend = "see whether `apt-get install nginx` works by itself"
        self.runner.run(command, "cannot install Debian packages", mend)

    def apt_network(self) -> "list[str]":
        if self.options.debs:
            return self.bundled_debs()
        trusted = self.runner.environment.get("SSL_CERT_FILE", SYSTEM_AUTHORITIES)
        told = ["-o", f"Acquire::https::CAInfo={trusted}"] if trusted != SYSTEM_AUTHORITIES else []
        return ["-o", "Acquire::Retries=3", *told]

    def bundled_debs(self) -> "list[str]":
        """The bundle's folder as apt's only source; its sums were checked."""
        folder = os.path.dirname(self.options.debs)
        with open(folder + "/sources.list", "w", encoding="ascii") as file:
            file.write(f"deb [trusted=yes] file:{self.options.debs} ./\n")
        os.makedirs(folder + "/lists/partial", exist_ok=True)
        return [
            "-o", f"Dir::Etc::SourceList={folder}/sources.list", "-o", "Dir::Etc::SourceParts=-",
            "-o", f"Dir::State::Lists={folder}/lists",
        ]  # fmt: skip

    def keep_wheels(self) -> None:
        """Without a network there is nowhere else to build the environments from again."""
        kept = self.software + "/wheels/offline"
        shutil.rmtree(kept + ".new", ignore_errors=True)
        shutil.copytree(self.options.wheels, kept + ".new")
        shutil.rmtree(kept, ignore_errors=True)
        os.rename(kept + ".new", kept)

    # -- our own wheel

    def fetch_wheel(self) -> str:
        """Our own wheel in SOFTWARE/wheels, from the source that was asked for."""
        with tempfile.TemporaryDirectory(dir=self.software) as scratch:
            found = self.find_wheel(scratch)
            self.log.write(f"{os.path.basename(found)} sha256 {sha256(found)}")
            # Two of the same version but of other content don't meet.
            folder = os.path.join(self.software, "wheels", sha256(found)[:12])
            place = os.path.join(folder, os.path.basename(found))
            os.makedirs(folder, exist_ok=True)
            if not os.path.exists(place) or sha256(place) != sha256(found):
                shutil.copyfile(found, place + ".new")
                with open(place + ".new", "rb") as file:
                    os.fsync(file.fileno())
                os.replace(place + ".new", place)
        return place

    def find_wheel(self, folder: str) -> str:
        source = self.options.source or own_checkout(self.options.version)
        if not source:
            return self.wheel_from_index(folder)
        if "://" in source:
            source = self.download(source, folder)
        if os.path.isfile(source) and source.endswith(".whl"):
            return str(source)
        if os.path.isfile(source):
            tree = folder + "/source"
            os.mkdir(tree)
            # tar refuses paths that lead out of the folder.
            command = ["tar", "-xf", os.path.abspath(source), "-C", tree, "--strip-components=1"]
            self.runner.run(command, "cannot unpack " + source, "give --source an sdist (.tar.gz)")
            source = tree
        if os.path.isfile(source + "/installer/wheel.py"):
            return self.build_wheel(os.path.abspath(source), folder)
        raise StageError(
            f"cannot install from {self.options.source!r}",
            "it is neither a checkout of the appliance, nor a wheel (.whl), nor an sdist (.tar.gz)",
            "give --source the path or address of one of these",
        )

    def download(self, url: str, folder: str) -> str:
        check_source(url, self.runner.environment.get(pip_variable("trusted-host"), ""))
        name = os.path.basename(urllib.parse.urlsplit(url).path) or "source.tar.gz"
        target = os.path.join(folder, name)
        context = ssl.create_default_context(cafile=self.runner.environment.get("SSL_CERT_FILE"))
        try:
            answer = urllib.request.urlopen(url, timeout=60, context=context)
            with answer, open(target, "wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, ValueError) as error:
            mend = f"see whether curl -LO {url} works; {PROXY_ADVICE}"
            raise StageError("cannot download " + url, str(error), mend) from error
        return target

    def build_wheel(self, tree: str, folder: str) -> str:
        """A checkout brings the code that packs it; nothing needs to be downloaded for that."""
        code = "import sys; sys.path.insert(0, sys.argv[1]); "
        code += "from installer.wheel import main; main()"
        command = [sys.executable, "-I", "-c", code, tree, folder]
        self.runner.run(command, "cannot pack the checkout " + tree)
        return glob.glob(folder + "/*.whl")[0]

    def wheel_from_index(self, folder: str) -> str:
        # No cache: after a power cut it may be damaged, and this is all that is fetched this way.
        wanted = f"{DISTRIBUTION}=={self.options.version or VERSION}"
        command = [
            *find_pip(), "download", "-q", "--no-cache-dir", "--no-deps", "--only-binary", ":all:",
            *self.index_words(), "-d", folder, wanted,
        ]  # fmt: skip
        mend = NETWORK_ADVICE
        if self.options.wheels:
            mend = f"put its wheel into {self.options.wheels}, or name it with --source"
        self.runner.run(command, "cannot fetch " + wanted, mend)
        return glob.glob(folder + "/*.whl")[0]

    def index_words(self) -> "list[str]":
        """Where our own wheel is, if it isn't where pip looks anyway."""
        place = self.options.index
        if not place:
            return []
        if "://" in place:
            return ["--index-url", place]
        return ["--no-index", "--find-links", os.path.abspath(place)]

    def releases(self) -> "list[str]":
        """Versions that can be had for this Python, newest first."""
        said = []  # type: list[str]
        command = [*find_pip(), "index", "versions", DISTRIBUTION, *self.index_words()]
        command += ["--pre"] if self.options.pre else []
        try:
            self.runner.run(command, "cannot look for releases", NETWORK_ADVICE, said.append)
        except StageError as failure:
            why = unreached("\n".join(said))
            # pip says it so, too, when it can't reach the index.
            if not why and "No matching distribution" in "".join(said) and self.options.index:
                return []
            failure.why = why or "\n".join(said[-3:]) or failure.why
            raise
        found = re.search(r"^Available versions: (.+)$", "\n".join(said), re.MULTILINE)
        return found.group(1).split(", ") if found else []

    def make_bundle(self, wheel: str) -> None:
        """By the wheel's own code, as the environments are made."""
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        code += "from installer.bundle import main; main()"
        debs = [] if self.options.without_debs else list(PACKAGES)
        command = [sys.executable, "-I", "-c", code, wheel, wheel, self.options.make_bundle]
        command += ["--python", *self.options.python, "--debs", *debs, "--pip", *find_pip()]
        self.runner.run(command, "cannot make the bundle", on_line=self.take_event)

    # -- handing over

    def build_hub_environment(self, wheel: str) -> None:
        """The wheel's own code makes the environment: Python imports from a wheel as it is."""
        code = "import sys; sys.path.insert(0, sys.argv[1]); "
        code += "from installer.environments import main; main()"
        command = [self.python, "-I", "-c", code, wheel, self.software, self.python, *find_pip()]
        self.runner.run(command, "cannot build the hub's environment", on_line=self.take_event)

    def hand_over(self, wheel: str) -> None:
        options, python = self.options, self.built + "/bin/python"
        command = [python, "-I", "-m", "installer", "--events", "--wheel", wheel]
        if options.trial:
            command += ["--trial", options.trial, "--python", self.python]
        command += ["--port", str(options.port)] if options.port else []
        if options.user_requirements:
            command += ["--user-requirements", options.user_requirements]
        if options.ca_file and not options.trial:
            command += ["--ca-file", options.ca_file]
        command += ["--quota"] if options.quota and not options.trial else []
        for name in options.admin:
            command += ["--admin", name]
        self.runner.run(command, "the installer ended", on_line=self.take_event)

    def take_event(self, line: str) -> bool:
        """What the installer tells: lines of JSON. Everything else is output for the log."""
        if not line.startswith('{"event":'):
            return False
        event = json.loads(line)
        kind = event["event"]
        if kind == "stage":
            self.screen.begin(event["title"])
            self.log.write("-- " + event["title"])
        elif kind == "detail":
            self.screen.detail = event["text"]
        elif kind == "failed":
            raise StageError(event["what"], event["why"], event["mend"])
        elif kind == "built":
            self.built = event["directory"]
        elif kind == "result":
            self.result = event
        return True


def check_source(url: str, trusted: str) -> None:
    """Refuse what anybody on the way could exchange: it would run as root. As pip, this takes
    addresses without TLS from this machine and from hosts that are set to be trusted."""
    parts = urllib.parse.urlsplit(url)
    hosts = {"localhost", "127.0.0.1", "::1", *(one.split(":")[0] for one in trusted.split())}
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in hosts):
        return
    raise StageError(
        "cannot download " + url,
        "it doesn't come by HTTPS, so that anybody on the way could exchange it",
        "give an address with https://, or fetch it, check its sum, and give --source the file; "
        "in your own network: sudo PIP_TRUSTED_HOST=%s ..." % (parts.hostname or "HOST"),
    )


def forget_downloads(machine: Machine) -> None:
    """Delete what apt fetched. It doesn't wait for the disk, so that after a power cut its files
    may be full of nothing, and of those that are there it looks at the size alone.
    """
    for folder, names in (
        ("/var/lib/apt/lists", "*_*"),
        ("/var/cache/apt", "*.bin"),
        ("/var/cache/apt/archives", "*.deb"),
    ):
        for path in glob.glob(machine.path(f"{folder}/{names}")):
            os.unlink(path)


def package_lists_are_fresh(machine: Machine) -> bool:
    lists = glob.glob(machine.path("/var/lib/apt/lists/*_Packages*"))
    return bool(lists) and machine.clock - max(os.stat(path).st_mtime for path in lists) < 86400


def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def own_checkout(version: "str | None") -> str:
    """The folder of this file if it is a checkout, and no other version is asked for."""
    file = globals().get("__file__") or ""
    folder = os.path.dirname(os.path.abspath(file))
    there = os.path.isfile(file) and os.path.isfile(folder + "/appliance/__init__.py")
    return folder if there and version in (None, VERSION) else ""


# ---- from start to end ---------------------------------------------------------------------------


def plan_lines(options: argparse.Namespace, machine: Machine, adopted: "list[str]") -> "list[str]":
    if options.trial:
        return [
            f"put everything into {options.trial} (about 0.6 GB) and nothing anywhere else",
            f"run it in the foreground until Ctrl-C, on port {wanted_port(machine, options)}",
        ]
    lines = []
    packages = missing_packages(machine)
    if packages:
        lines.append("install the Debian packages " + ", ".join(packages))
    if "nginx" in packages:
        lines.append("keep nginx's own service off (masked)")
    if machine.exists(SOFTWARE + "/hub"):
        lines.append("look over what is installed, mend and update it, and interrupt nobody")
    else:
        lines.append(f"put the software into {SOFTWARE} (about 0.6 GB)")
        lines.append("make the accounts appliance-hub and appliance-proxy, and five services")
    lines.append(f"serve everybody on port {wanted_port(machine, options)}")
    lines += [f"make {name} an admin of the hub" for name in options.admin]
    if options.quota:
        lines.append("turn quotas on for the disks of homes and classes, where that is possible")
    if adopted:
        lines.append(f"use {', '.join(adopted)} from your environment, which sudo had removed")
    return lines


def ask_to_go_on() -> bool:
    """Ask on the terminal, be this file piped or not; without one the command was the consent."""
    try:
        with open("/dev/tty", "w") as out, open("/dev/tty", errors="replace") as answers:
            out.write("Go on? [Y/n] ")
            out.flush()
            answer = answers.readline()
        # Nothing at all is Ctrl-D.
        return answer.strip().lower() in ("", "y", "yes") and answer != ""
    except (OSError, ValueError):
        return True


def take_lock(path: str) -> "IO[str]":
    """Held until this process ends, however it ends."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lock = open(path, "a+", encoding="ascii")  # noqa: SIM115  it stays open on purpose
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        lock.seek(0)
        why = "process {}".format(lock.read().strip() or "unknown")
        raise StageError("another installation is running", why, "wait for it to end") from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def print_problems(problems: "list[Problem]") -> int:
    lines = ["This machine can't be used as it is:"]
    for problem in problems:
        lines += ["  - " + problem.what, "    to mend: " + problem.mend]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    complain([*lines, count + " found; nothing was changed."])
    return problems[0].code if len(problems) == 1 else REFUSED


def print_result(screen: Screen, result: "dict[str, Any]") -> None:
    """The addresses and set-up links, in a box for people, bare for scripts."""
    addresses, links = result.get("addresses", []), result.get("links", [])
    if screen.quiet:
        screen.write("".join(line + "\n" for line in addresses + [link["url"] for link in links]))
        return
    lines = ["The appliance is running: " + (addresses[0] if addresses else "")]
    lines += ["                     also: " + address for address in addresses[1:]]
    for link in links:
        lines += ["", "{name} chooses a password here, once, within {lifetime}:".format(**link)]
        lines += ["  " + link["url"]]
    for note in result.get("notes", []):
        lines += ["", note]
    width = max(len(line) for line in lines)
    rule = "+" + "-" * (width + 2) + "+"
    boxed = ["| " + line.ljust(width) + " |" for line in lines]
    screen.write("\n".join(["", rule, *boxed, rule, ""]))


def look_only(options: argparse.Namespace, machine: Machine, screen: Screen) -> int:
    """--releases and --fetch: what the installed appliance asks before it upgrades itself."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            log = Log(folder + "/log")
            bootstrap = Bootstrap(options, machine, screen, log)
            if options.releases:
                screen.write(json.dumps(bootstrap.releases()) + "\n")
            elif options.make_bundle:
                bootstrap.make_bundle(bootstrap.find_wheel(folder))
                screen.end()
            else:
                found = bootstrap.find_wheel(folder)
                os.makedirs(options.fetch, exist_ok=True)
                screen.write(shutil.copy(found, options.fetch) + "\n")
    except StageError as failure:
        screen.fail(failure, None)
        return REFUSED
    return DONE


def install_from_bundle(options: argparse.Namespace, machine: Machine, screen: Screen) -> int:
    """Unpack it, check its sums, and install with nothing else."""
    with tempfile.TemporaryDirectory(prefix="appliance-bundle-", dir="/var/tmp") as folder:
        try:
            screen.begin("Checking the bundle")
            check_bundle(options, machine, folder)
            screen.end()
        except StageError as failure:
            screen.fail(failure, None)
            return REFUSED
        return install(options, machine, screen)


def check_bundle(options: argparse.Namespace, machine: Machine, folder: str) -> None:
    mend = "copy it once more, or make it again: bootstrap.py --make-bundle FILE"
    try:
        # tar refuses paths that lead out of the folder.
        unpack = ["tar", "-xf", options.bundle, "-C", folder, "--no-same-owner"]
        subprocess.run(unpack, check=True, stderr=subprocess.PIPE)
        inside = folder + "/bundle"
        with open(inside + "/bundle.json", encoding="utf-8") as file:
            manifest = json.load(file)
        wrong = [
            name for name, sum_ in manifest["files"].items() if sha256(f"{inside}/{name}") != sum_
        ]
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
        raise StageError(f"cannot read the bundle {options.bundle}", str(error), mend) from error
    if wrong:
        raise StageError("the bundle is damaged", ", ".join(wrong[:5]), mend)
    python = "{}.{}".format(*machine.python)
    if python not in manifest["pythons"]:
        why = f"it is for Python {', '.join(manifest['pythons'])}, and this machine has {python}"
        raise StageError(
            "the bundle is not for this machine", why, "make it with --python " + python
        )
    # apt reads as a user of its own.
    os.chmod(folder, 0o755)  # noqa: S103
    options.wheels = inside + "/wheels"
    options.source = glob.glob(options.wheels + "/hub_appliance-*.whl")[0]
    if os.path.exists(inside + "/debs/Packages"):
        options.debs = inside + "/debs"


def install(options: argparse.Namespace, machine: Machine, screen: Screen) -> int:
    adopted = adopt_from_sudo()
    screen.begin("Checking this machine")
    problems, notes = check_machine(machine, options)
    screen.end(ok=not problems)
    if problems:
        return print_problems(problems)
    for note in notes:
        screen.say("note: " + note)
    if options.check:
        screen.say("This machine is fit.")
        return DONE
    screen.say("This will:")
    for line in plan_lines(options, machine, adopted):
        screen.say("  - " + line)
    if not (options.yes or options.quiet or options.trial or ask_to_go_on()):
        screen.say("Nothing was changed.")
        return REFUSED
    log = None
    try:
        lock = take_lock(options.trial + "/install.lock" if options.trial else LOCK_FILE)
        log = Log(options.trial + "/install.log" if options.trial else LOG_FILE)
        log.write(f"options: {vars(options)}")
        bootstrap = Bootstrap(options, machine, screen, log)
        bootstrap.run()
        lock.close()
    except StageError as failure:
        screen.fail(failure, log)
        return REFUSED
    log.write(f"done in {time.monotonic() - screen.started:.0f} s")
    if options.trial:
        start_trial(options)
    print_result(screen, bootstrap.result)
    return DONE


def start_trial(options: argparse.Namespace) -> NoReturn:
    """Become the trial's supervisor, which runs until Ctrl-C."""
    os.environ["APPLIANCE_TRIAL"] = options.trial
    python = software_of(options) + "/hub/bin/python"
    quiet = ["--quiet"] if options.quiet else []
    os.execv(python, [python, "-I", "-m", "appliance.trial", *quiet])


def interrupted(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    options = parse_options(sys.argv[1:])
    # Hardened systems have 077, and then nobody else could read what is installed.
    os.umask(0o022)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    screen = Screen(options.quiet)
    try:
        if options.releases or options.fetch or options.make_bundle:
            return look_only(options, Machine(), screen)
        if options.bundle:
            return install_from_bundle(options, Machine(), screen)
        return install(options, Machine(), screen)
    except KeyboardInterrupt:
        screen.end(ok=False)
        complain(["", "Stopped. Running the same command again goes on from here."])
        return INTERRUPTED
    except PermissionError as error:
        screen.end(ok=False)
        complain([f"cannot write {error.filename}: {error.strerror}"])
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
