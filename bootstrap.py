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
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, NoReturn

VERSION = "0.1.0"
DISTRIBUTION = "hub-appliance"
OLDEST_PYTHON = (3, 11)
TESTED = {"debian": ("12", "13")}
ACCEPTED_UBUNTU = (24, 4)

# Pinned like everything else; `python3 -m installer.lock` writes these lines.
UV = """\
uv==0.13.9
  --hash=sha256:16963d19594e18d746a70c7fce82237bde4f2cac4cfcf0ca2b84796fe9d0c6e9
  --hash=sha256:2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25
  --hash=sha256:3eeeb51a267a2144640fcd8f38d4a2f63439b39bc47445fd84727c3fc462c843
  --hash=sha256:5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe
  --hash=sha256:56ec37616c00220032fc7b8c9d0ef51367fd0d70d9cd6ddd841660f949f84fed
  --hash=sha256:66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63
  --hash=sha256:6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b
  --hash=sha256:6b0c7b9f47a5d011939d61e324d3fe18a8bc155d8dd53add738709a92f290a7c
  --hash=sha256:6d5114bba238adddacb32fb11904f2b3ff4e988f8e9ff0d8d3b5e9822cf836b8
  --hash=sha256:7ec1e1dd9b6cb335c301afdf877989df384227313981850755a59561f75e4ab8
  --hash=sha256:a2ee66fe8b6608e1482ab1bde5799da04705c1cb40324c7f66054ecf46ae6e40
  --hash=sha256:a6e845f387e4ed55bb59342957a9179e24a631fcc7668bda3426ae1cef8ed4b9
  --hash=sha256:c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5
  --hash=sha256:c5dbdb7c8737cd183a9dce95b39cfd1f3d54ec2a27a1bb58f160293f9ba2c805
  --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19
  --hash=sha256:db5c8df7145c21ffea9c0f74e38823bac3af60cbadf0e26b8633f08627b17bab
  --hash=sha256:dd6f4f93ddf8a668c73f0945f3638444b2140a4e15a3912067493fc6335543e4
  --hash=sha256:ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375
  --hash=sha256:eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273
"""

# python3-pip-whl has pip as one file that runs without being installed: 1.5 s, where a venv takes
# 27 s on a
# small machine. python3-pystemd is built for the system's own Python, so no compiler is needed.
PACKAGES = ("python3-pip-whl", "python3-pystemd", "nginx", "ca-certificates", "dbus")

SOFTWARE = "/opt/appliance"
LOG_FILE = "/var/log/appliance-install.log"
LOCK_FILE = "/run/appliance-install.lock"
# Says that our own apt-get was running, so that we may mend what a power cut left of it.
APT_MARKER = "/var/lib/appliance-install.apt"
RENDERED_CONFIG = "/var/lib/appliance/rendered/hub.json"

MIB = 2**20
MEMORY_NEEDED = 850 * MIB
DISK_NEEDED = 2500 * MIB
DISK_NEEDED_AGAIN = 900 * MIB
INODES_NEEDED = 60000
LOCK_PATIENCE_SECONDS = 600
NETWORK_TIMEOUT_SECONDS = 8
OLDEST_CLOCK = 1_750_000_000

USERNAME = r"[a-z0-9][a-z0-9._@-]{0,47}"
# The same as appliance.names.RESERVED: an admin's name must be refused before the work, not after
# it.
RESERVED = frozenset(
    "root admin administrator hub proxy spawner appliance system systemd nobody daemon "
    "service services user users group groups api login logout signup static www-data".split()
)

DONE, REFUSED, BUG, NOT_ROOT = 0, 1, 70, 77


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
        epilog="Running it again heals what is missing and changes nothing else.",
    )
    add = parser.add_argument
    add(
        "--admin",
        metavar="NAME",
        action="append",
        default=[],
        help="make NAME an admin; may be repeated",
    )
    add("--port", type=int, help="where to listen (80; in a trial 8000)")
    add(
        "--trial",
        metavar="DIR",
        nargs="?",
        const="appliance-trial",
        help="no root, no systemd: run in a folder",
    )
    add("--version", metavar="V", help="install this release instead of " + VERSION)
    add(
        "--source",
        metavar="PLACE",
        help="install from a checkout, a wheel, an sdist, or a URL of one",
    )
    add(
        "--wheels",
        metavar="DIR",
        help="take all Python packages from this folder, none from the network",
    )
    add("--user-requirements", metavar="FILE", help="install these too for everybody's notebooks")
    add(
        "--ca-file",
        metavar="FILE",
        help="trust these certificate authorities too while downloading (PEM)",
    )
    add(
        "--check", action="store_true", help="only check whether the machine is fit, change nothing"
    )
    add("--yes", action="store_true", help="ask nothing")
    add("--quiet", action="store_true", help="print only addresses, set-up links and failures")
    options = parser.parse_args(arguments)
    if options.port is not None and not 1 <= options.port <= 65535:
        parser.error("--port takes a number from 1 to 65535")
    options.admin = [check_admin_name(parser, name) for name in options.admin]
    for name in ("wheels", "user_requirements", "ca_file", "trial"):
        if getattr(options, name):
            setattr(options, name, os.path.abspath(getattr(options, name)))
    if options.wheels and not os.path.isdir(options.wheels):
        parser.error("--wheels: there is no folder " + options.wheels)
    for name in ("user_requirements", "ca_file"):
        if getattr(options, name) and not os.access(getattr(options, name), os.R_OK):
            parser.error(
                "--{}: cannot read {}".format(name.replace("_", "-"), getattr(options, name))
            )
    if options.ca_file:
        check_ca_file(parser, options.ca_file)
    return options


def check_admin_name(parser: argparse.ArgumentParser, text: str) -> str:
    name = text.strip().lower()
    if ":" in name:
        parser.error(
            "--admin takes a name alone: a password on the command line can be seen by every user"
        )
    if name in RESERVED:
        parser.error(f"--admin: the name {text!r} is reserved; choose another")
    if not re.match("^" + USERNAME + r"\Z", name):
        parser.error(
            f"--admin: cannot use {text!r} as a user name; choose 1 to 48 of a-z, 0-9, '.', '_', "
            "'-' and '@', beginning with a letter or digit"
        )
    return name


def check_ca_file(parser: argparse.ArgumentParser, path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError) as error:
        parser.error(f"--ca-file: {path} holds no certificates in PEM form ({error})")


# ---- showing progress ----------------------------------------------------------------------------


class Log:
    """Everything that was run and said, for the person who has to find out why."""

    def __init__(self, path: str) -> None:
        self.path = path
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.file = os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")
        self.write(
            "==== {} bootstrap {} on {}".format(
                time.strftime("%F %T"), VERSION, platform.platform()
            )
        )

    def write(self, line: str) -> None:
        # A full disk must not hide the failure that it caused.
        with contextlib.suppress(OSError):
            self.file.write(time.strftime("%T ") + line.rstrip() + "\n")
            self.file.flush()


class Screen:
    """Stages with their time: a moving line on a terminal, plain lines anywhere else."""

    def __init__(self, quiet: bool = False, out: "IO[str] | None" = None) -> None:
        self.out = out or sys.stdout  # type: IO[str]
        self.quiet = quiet
        self.terminal = self.out.isatty() and os.environ.get("TERM") != "dumb"
        fancy = "utf" in (getattr(self.out, "encoding", "") or "").lower()
        self.frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if fancy else "|/-\\"
        self.tick, self.cross = ("✓", "✗") if fancy else ("ok", "!!")
        self.coloured = self.terminal and not os.environ.get("NO_COLOR")
        self.started = time.monotonic()
        self.title = ""
        self.detail = ""
        self.stage_started = 0.0
        self.stopping = threading.Event()
        self.thread = None  # type: threading.Thread | None

    def say(self, text: str = "") -> None:
        if not self.quiet:
            self.write(text + "\n")

    def write(self, text: str) -> None:
        # A lost connection or a closed pipe must not end an install half way.
        with contextlib.suppress(OSError, ValueError):
            self.out.write(text)
            self.out.flush()

    def colour(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.coloured else text

    def begin(self, title: str) -> None:
        self.title, self.detail, self.stage_started = title, "", time.monotonic()
        if self.quiet:
            return
        if not self.terminal:
            self.say(f"{clock_text(time.monotonic() - self.started)}  {title} ...")
            return
        self.stopping.clear()
        self.thread = threading.Thread(target=self.spin, daemon=True)
        self.thread.start()

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

    def stop_spinning(self) -> None:
        if self.thread:
            self.stopping.set()
            self.thread.join()
            self.thread = None
            self.write("\r\033[K")

    def end(self, *, ok: bool = True) -> None:
        self.stop_spinning()
        if self.title and self.terminal and not self.quiet:
            mark = self.colour("32", self.tick) if ok else self.colour("31", self.cross)
            self.say(f"{mark} {self.title}  {time.monotonic() - self.stage_started:.0f} s")
        self.title = ""

    @contextlib.contextmanager
    def stage(self, title: str) -> "Iterator[None]":
        self.begin(title)
        try:
            yield
        except BaseException:
            self.end(ok=False)
            raise
        self.end()

    def fail(self, stage: str, failure: StageError, log: "Log | None") -> None:
        self.stop_spinning()
        lines = ["", self.colour("31", "failed: ") + (stage + ": " if stage else "") + failure.what]
        if failure.why:
            lines += ["  why      " + failure.why.rstrip().replace("\n", "\n           ")]
        if failure.mend:
            lines += ["  to mend  " + failure.mend]
        if log:
            lines += ["  log      " + log.path]
        lines += ["Running the same command again goes on from here.", ""]
        with contextlib.suppress(OSError):
            sys.stderr.write("\n".join(lines))
            sys.stderr.flush()
        if log:
            log.write(f"failed: {stage}: {failure.what}: {failure.why}")


def clock_text(seconds: float) -> str:
    return f"{int(seconds) // 60:3d}:{int(seconds) % 60:02d}"


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
        on_line: "Callable[[str], bool] | None" = None,
    ) -> None:
        """Run a command; `on_line` says True for lines that are not for log and screen."""
        self.log.write("+ " + " ".join(shlex.quote(word) for word in command))
        last = deque(maxlen=12)  # type: deque[str]
        # stdin is the pipe that this very file came through; a session of its own keeps Ctrl-C from
        # killing dpkg in the middle of a package.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            start_new_session=True,
            cwd="/",
        )
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

    def python_version(self) -> "tuple[int, int]":
        return sys.version_info[:2]

    def uid(self) -> int:
        return os.geteuid()

    def processor(self) -> str:
        return platform.machine()

    def now(self) -> float:
        return time.time()

    def room(self, path: str) -> "tuple[int, int | None, bool]":
        """Free bytes, free inodes (None where there is no such limit), and whether programs may run
        there.
        """
        path = self.path(path)
        while not os.path.exists(path):
            path = os.path.dirname(path)
        found = os.statvfs(path)
        inodes = found.f_favail if found.f_files else None
        return (
            found.f_bavail * found.f_frsize,
            inodes,
            not found.f_flag & getattr(os, "ST_NOEXEC", 8),
        )

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
        """The process that holds a lock file as apt and dpkg lock, by fcntl; 0 if its id is
        unknown.
        """
        try:
            with open(self.path(path), "rb+") as file:
                wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack(
                    "hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, wanted)
                )
        except OSError:
            return None
        return None if kind == fcntl.F_UNLCK else max(int(pid), 0)

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


def check_system(machine: Machine, options: argparse.Namespace) -> "list[Problem]":
    problems = []
    if machine.uid() != 0 and not options.trial:
        problems.append(
            Problem("this is not root", "run it with sudo, or try it out with --trial", NOT_ROOT)
        )
    if machine.python_version() < OLDEST_PYTHON:
        problems.append(
            Problem(
                "Python {}.{} is too old".format(*machine.python_version()),
                "use Debian 12 or newer, or Ubuntu 24.04 or newer: they bring Python 3.11 or newer",
            )
        )
    if machine.processor() not in ("x86_64", "aarch64"):
        problems.append(
            Problem(
                f"the processor is {machine.processor()}",
                "use a 64-bit PC (x86_64) or ARM (aarch64)",
            )
        )
    if machine.now() < OLDEST_CLOCK:
        problems.append(
            Problem(
                "the clock says {}".format(time.strftime("%F", time.gmtime(machine.now()))),
                "set it (timedatectl set-ntp true): with a wrong date downloads are refused",
            )
        )
    return problems


def os_release(machine: Machine) -> "dict[str, str]":
    lines = machine.read("/etc/os-release").splitlines()
    pairs = (line.partition("=") for line in lines)
    return {key: value.strip("\"'") for key, _, value in pairs if value}


def check_distribution(machine: Machine) -> "tuple[list[Problem], list[str]]":
    """Problems, and notes about what is accepted but not tested."""
    release = os_release(machine)
    name, version = release.get("ID", ""), release.get("VERSION_ID", "")
    shown = release.get("PRETTY_NAME") or "an unknown system"
    if version in TESTED.get(name, ()):
        return [], []
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    newer = (name == "ubuntu" and numbers >= ACCEPTED_UBUNTU) or (
        name == "debian" and (not numbers or numbers[0] > 13)
    )
    if newer:
        return [], [f"{shown}: not tested, should work (tested are Debian 12 and 13)"]
    like_debian = "debian" in release.get("ID_LIKE", "").split() and name != "ubuntu"
    if like_debian and machine.python_version() >= OLDEST_PYTHON:
        return [], [f"{shown}: not tested, goes as Debian (tested are Debian 12 and 13)"]
    mend = "use Debian 12 or 13, or Ubuntu 24.04 or newer; --trial works on any Linux"
    return [Problem(f"{shown} is not supported", mend)], []


def check_services(machine: Machine) -> "list[Problem]":
    problems = []
    if not machine.exists("/run/systemd/system"):
        first = machine.process_name(1)
        problems.append(
            Problem(
                f"systemd is not running (process 1 is {first})",
                "use a machine or a system container that boots systemd; elsewhere --trial works",
            )
        )
        return problems
    controllers = machine.read("/sys/fs/cgroup/cgroup.controllers").split()
    if not machine.exists("/sys/fs/cgroup/cgroup.controllers"):
        problems.append(
            Problem(
                "control groups are mounted the old way (cgroup v1)",
                "add systemd.unified_cgroup_hierarchy=1 to the kernel's command line and reboot",
            )
        )
    else:
        missing = [name for name in ("cpu", "memory", "pids") if name not in controllers]
        if missing:
            problems.append(
                Problem(
                    "the kernel's control group controllers {} are off".format(", ".join(missing)),
                    "add {} to the kernel's command line and reboot".format(
                        " ".join("cgroup_enable=" + name for name in missing)
                    ),
                )
            )
    return problems


def check_room(machine: Machine, options: argparse.Namespace) -> "list[Problem]":
    problems = []
    found = re.search(r"^MemTotal:\s+(\d+) kB", machine.read("/proc/meminfo"), re.MULTILINE)
    memory = int(found.group(1)) * 1024 if found else MEMORY_NEEDED
    if memory < MEMORY_NEEDED:
        problems.append(
            Problem(
                f"there are {memory // MIB} MB of memory",
                "give the machine 1 GB (1024 MB) or more",
            )
        )
    again = machine.exists(SOFTWARE + "/user") or (
        options.trial and os.path.exists(options.trial + "/software/user")
    )
    needed = DISK_NEEDED_AGAIN if again else DISK_NEEDED
    place = options.trial or SOFTWARE
    free, inodes, runs = machine.room(place)
    if free < needed:
        problems.append(
            Problem(
                f"{free // MIB} MB are free on the disk of {place}",
                f"make {needed // MIB} MB free",
            )
        )
    if inodes is not None and inodes < INODES_NEEDED and not again:
        problems.append(
            Problem(
                f"the disk of {place} has room for {inodes} more files",
                f"use a file system with {INODES_NEEDED} free inodes (df -i)",
            )
        )
    if not runs:
        problems.append(
            Problem(
                f"programs may not run from the disk of {place}",
                "mount it without 'noexec'",
            )
        )
    return problems


def wanted_port(machine: Machine, options: argparse.Namespace) -> int:
    if options.port:
        return int(options.port)
    rendered = options.trial + "/state/rendered/hub.json" if options.trial else RENDERED_CONFIG
    try:
        return int(json.loads(machine.read(rendered))["http"]["port"])
    except (ValueError, KeyError, TypeError):
        return 8000 if options.trial else 80


def check_port(machine: Machine, options: argparse.Namespace) -> "list[Problem]":
    port = wanted_port(machine, options)
    if options.trial and running_trial(machine, options.trial):
        return [
            Problem(
                f"the trial in {options.trial} runs already",
                f"open http://localhost:{port}, or stop it with Ctrl-C where it runs",
            )
        ]
    if options.trial and port < 1024 and machine.uid() != 0:
        return [Problem(f"port {port} is for root alone", "choose one above 1023 with --port")]
    for pid in machine.listeners(port):
        unit = re.search(r"([^/\n]+\.service)", machine.read(f"/proc/{pid}/cgroup"))
        if unit and unit.group(1) == "appliance-proxy.service":
            continue
        if not pid and machine.uid() != 0 and machine.exists(SOFTWARE + "/hub"):
            # Only root can see whose it is; it is likely the appliance's own.
            continue
        who = machine.process_name(pid) if pid else "another user's program"
        if unit:
            who += f" ({unit.group(1)})"
        mend = "stop that program, or choose another port with --port"
        if unit and not options.trial:
            mend = (
                f"stop it (systemctl disable --now {unit.group(1)}), or choose another with --port"
            )
        return [
            Problem("port {} is taken by {}, process {}".format(port, who, pid or "unknown"), mend)
        ]
    return []


def running_trial(machine: Machine, folder: str) -> int:
    """The process of a trial that runs in this folder, or 0."""
    text = machine.read(folder + "/run/trial.pid").strip()
    return int(text) if text.isdigit() and machine.exists("/proc/" + text) else 0


def missing_packages(machine: Machine) -> "list[str]":
    said = machine.output("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *PACKAGES)
    # dpkg-query fails when it knows one of them not at all; then ask one by one.
    if not said:
        said = "".join(
            machine.output("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", name)
            for name in PACKAGES
        )
    there = {line.split()[0] for line in said.splitlines() if line.endswith(" installed")}
    return [name for name in PACKAGES if name not in there]


def check_packages(machine: Machine) -> "tuple[list[Problem], list[str]]":
    """Is dpkg in order? A package manager that runs now is only noted: we wait for it."""
    problems, notes = [], []
    holders = package_manager(machine)
    if holders:
        notes.append(f"{holders} is running: will wait for it")
    elif not machine.exists(APT_MARKER):
        broken = re.findall(
            r"^Package: (\S+)\nStatus: \S+ \S+ (?:half-configured|half-installed|unpacked)$",
            machine.read("/var/lib/dpkg/status"), re.MULTILINE,
        )  # fmt: skip
        updates = machine.path("/var/lib/dpkg/updates")
        if broken or (os.path.isdir(updates) and os.listdir(updates)):
            shown = ", ".join(broken[:5]) or "its journal is not empty"
            problems.append(
                Problem(
                    f"an earlier package installation was interrupted ({shown})",
                    "run: dpkg --configure -a && apt-get -f install",
                )
            )
    return problems, notes


def package_manager(machine: Machine) -> str:
    """Who holds the locks of apt and dpkg, for people to read, or nothing."""
    for path in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock"):
        pid = machine.lock_holder(path)
        if pid is not None:
            return f"{machine.process_name(pid)} (process {pid})" if pid else "the package manager"
    return ""


def check_network(
    machine: Machine, options: argparse.Namespace, index: "PipSettings"
) -> "list[Problem]":
    """Names resolve and what will be asked answers, or the proxy before it."""
    wanted = {}  # type: dict[tuple[str, int], str]
    if not options.trial and missing_packages(machine):
        # What it would ask for; `indextargets` knows nothing before the first update.
        sites = re.findall("'(.+?)'", machine.output("apt-get", "--print-uris", "update"))
        if not sites:
            return [
                Problem(
                    "apt has no source of packages",
                    "put one into /etc/apt/sources.list.d/ (sources.list(5))",
                )
            ]
        for site in sites:
            add_target(wanted, site, "Debian packages", apt_proxy(machine, site))
    if not options.wheels:
        for url in index.urls():
            add_target(wanted, url, "Python packages", index.values.get("proxy") or "")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda target: machine.reach(*target), wanted)
        found = [(wanted[target], target, why) for target, why in zip(wanted, answers) if why]
    return [
        Problem(
            f"cannot reach {host} for {purpose}: {why}",
            "mend the network or the name server (/etc/resolv.conf); behind a proxy run: "
            "sudo https_proxy=http://PROXY:PORT http_proxy=http://PROXY:PORT python3 ...; "
            "without a network see --wheels",
        )
        for purpose, (host, port), why in found
    ]


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


def check_machine(
    machine: Machine, options: argparse.Namespace
) -> "tuple[list[Problem], list[str]]":
    """Everything that is wrong, at once, and what is worth knowing."""
    problems, notes = check_system(machine, options), []  # type: tuple[list[Problem], list[str]]
    if not options.trial:
        for found, said in (check_distribution(machine), check_packages(machine)):
            problems += found
            notes += said
        problems += check_services(machine)
    problems += check_room(machine, options)
    problems += check_port(machine, options)
    problems += check_network(machine, options, PipSettings.read(machine))
    if options.trial and not (options.wheels or find_pip()):
        problems.append(
            Problem(
                "Python has no pip",
                "install it: sudo apt-get install python3-venv, or your system's python3-pip",
            )
        )
    return problems, notes


# ---- how this machine reaches Python packages ----------------------------------------------------


class PipSettings:
    """pip's own configuration: its files and PIP_ variables."""

    NAMES = (
        "index-url", "extra-index-url", "find-links", "cert", "client-cert", "proxy",
        "trusted-host", "no-index",
        "timeout",
    )  # fmt: skip

    def __init__(self, values: "dict[str, str]") -> None:
        self.values = values

    @classmethod
    def read(cls, machine: Machine) -> "PipSettings":
        values = {}  # type: dict[str, str]
        home = os.path.expanduser("~")
        files = [
            "/etc/pip.conf",
            "/etc/xdg/pip/pip.conf",
            home + "/.pip/pip.conf",
            home + "/.config/pip/pip.conf",
        ]
        chosen = os.environ.get("PIP_CONFIG_FILE", "")
        if chosen == os.devnull:
            files = []
        for path in files + ([chosen] if chosen else []):
            parser = configparser.RawConfigParser()
            with contextlib.suppress(configparser.Error):
                parser.read_string(machine.read(path))
            for section in ("global", "download", "install"):
                if parser.has_section(section):
                    values.update(parser.items(section))
        for name in cls.NAMES:
            value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
            if value:
                values[name] = value
        return cls(
            {name: values[name].strip() for name in cls.NAMES if values.get(name, "").strip()}
        )

    def urls(self) -> "list[str]":
        """Indexes to probe; pip's built-in one if pip is at hand to be asked."""
        if self.values.get("no-index", "").lower() in ("1", "true", "yes", "on"):
            return []
        first = self.values.get("index-url") or built_in_index()
        return [url for url in [first, *self.values.get("extra-index-url", "").split()] if url]


def find_pip() -> "list[str]":
    """A command that runs pip without installing it, or nothing."""
    bundled = glob.glob("/usr/share/python-wheels/pip-*.whl")
    bundled += glob.glob(
        os.path.join(os.path.dirname(os.__file__), "ensurepip", "_bundled", "pip-*.whl")
    )
    if bundled:
        return [sys.executable, "-I", os.path.join(max(bundled), "pip")]
    there = subprocess.run(
        [sys.executable, "-m", "pip", "--version"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return [sys.executable, "-m", "pip"] if there.returncode == 0 else []


def built_in_index() -> str:
    """Where pip looks when nothing is configured, as pip itself says; no host is named here."""
    command = find_pip()
    if not command:
        return ""
    place = os.path.dirname(command[-1]) if command[1] == "-I" else ""
    code = "import sys; sys.path[:0] = sys.argv[1:]; "
    code += "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
    return Machine().output(sys.executable, "-c", code, *([place] if place else [])).strip()


PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def adopt_from_sudo() -> "list[str]":
    """Take over proxies and pip's settings that sudo removed; the names of what was taken.

    sudo clears the environment, and an install behind a proxy then hangs (TLJH#219, #452). The sudo
    process
    above us still has its caller's. Who may run this as root may also set them with `sudo
    NAME=VALUE`.
    """
    taken = []  # type: list[str]
    if os.geteuid() != 0 or "SUDO_USER" not in os.environ:
        return taken
    wanted = set(PROXY_VARIABLES) | {name.upper() for name in PROXY_VARIABLES}
    wanted |= {"PIP_" + name.upper().replace("-", "_") for name in PipSettings.NAMES}
    pid = os.getppid()
    for _ in range(4):
        stat = Machine().read(f"/proc/{pid}/stat")
        name = stat[stat.find("(") + 1 : stat.rfind(")")]
        if name != "sudo":
            break
        for entry in Machine().read(f"/proc/{pid}/environ").split("\0"):
            key, _, value = entry.partition("=")
            if key in wanted and value and key not in os.environ:
                os.environ[key] = value
                taken.append(key)
        pid = int(stat[stat.rfind(")") + 2 :].split()[1])
    return taken


def child_environment(
    machine: Machine, software: str, options: argparse.Namespace
) -> "dict[str, str]":
    """What programs that we start see: no stray Python settings, and one way to the packages for
    pip and uv.
    """
    dropped = (
        "VIRTUAL_ENV",
        "CONDA_PREFIX",
        "APPLIANCE_TRIAL",
        "LD_PRELOAD",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
    )
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("PYTHON", "LC_")) and key not in dropped
    }
    pip = PipSettings.read(machine)
    # uv reads none of pip's settings; the installer translates these variables for it.
    for key, setting in pip.values.items():
        environment["PIP_" + key.upper().replace("-", "_")] = setting
    # Some programs read the one spelling, some the other.
    for name in PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.upper()) or ""
        if value:
            environment[name] = environment[name.upper()] = value
    bundle = ca_bundle(pip, options, software)
    if bundle:
        environment.update(SSL_CERT_FILE=bundle, PIP_CERT=bundle)
        environment.pop("SSL_CERT_DIR", None)
    environment.update(
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        DEBIAN_FRONTEND="noninteractive",
        NEEDRESTART_SUSPEND="1",
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_INPUT="1",
        PYTHONUNBUFFERED="1",
    )
    environment["PATH"] = (
        environment.get("PATH", "")
        + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    )
    if options.wheels:
        environment.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=options.wheels)
    return environment


def ca_bundle(pip: PipSettings, options: argparse.Namespace, software: str) -> str:
    """The system's authorities and those given to pip or to us, in one file."""
    system = "/etc/ssl/certs/ca-certificates.crt"
    extra = options.ca_file or pip.values.get("cert", "")
    if not extra or extra == system:
        return system if os.path.exists(system) else ""
    bundle = software + "/ca-bundle.pem"
    os.makedirs(software, exist_ok=True)
    with open(bundle + ".new", "w", encoding="ascii", errors="replace") as out:
        for path in (system, extra):
            if os.path.exists(path):
                with open(path, encoding="ascii", errors="replace") as file:
                    out.write(file.read().rstrip() + "\n")
    os.replace(bundle + ".new", bundle)
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
        self.software = options.trial + "/software" if options.trial else SOFTWARE
        self.environment = child_environment(machine, self.software, options)
        self.runner = Runner(screen, log, self.environment)
        self.result = {}  # type: dict[str, Any]

    def run(self) -> None:
        if not self.options.trial and (
            missing_packages(self.machine) or self.machine.exists(APT_MARKER)
        ):
            with self.screen.stage("Installing Debian packages"):
                self.install_packages()
        with self.screen.stage("Fetching the appliance"):
            os.makedirs(self.software + "/wheels", exist_ok=True)
            uv = self.fetch_uv()
            wheel = self.fetch_wheel()
        with self.screen.stage("Building the hub's environment"):
            python = self.build_hub_environment(uv, wheel)
        self.hand_over(python, uv, wheel)

    # -- Debian packages

    def install_packages(self) -> None:
        self.wait_for_package_manager()
        mine = self.machine.exists(APT_MARKER)
        with open(APT_MARKER, "w", encoding="ascii") as marker:
            marker.write("apt-get was started by the appliance's bootstrap\n")
        os.sync()
        if mine:
            self.log.write("an earlier run was interrupted here; finishing it")
            self.runner.run(["dpkg", "--configure", "-a"], "cannot finish the interrupted packages")
            self.apt("--fix-broken", "install")
        wanted = missing_packages(self.machine)
        if "nginx" in wanted and not self.machine.exists("/etc/systemd/system/nginx.service"):
            # Debian starts what it installs, and nginx's own service would take port 80. The
            # appliance
            # runs nginx by a unit of its own.
            self.runner.run(
                ["systemctl", "mask", "nginx.service"], "cannot keep nginx's own service off"
            )
        if wanted:
            self.install_wanted(wanted)
        os.unlink(APT_MARKER)

    def install_wanted(self, wanted: "list[str]") -> None:
        if package_lists_are_fresh(self.machine):
            with contextlib.suppress(StageError):
                self.apt("install", *wanted)
                return
        mend = "see whether `apt-get update` works by itself; behind a proxy see --help"
        command = [
            "apt-get", "-q", "-o", "Acquire::Retries=3",
            # Descriptions in other languages are a third of it; those that are there stay.
            "-o", "Acquire::Languages=none", "-o", "APT::Get::List-Cleanup=false",
            *self.apt_certificates(), "update",
        ]  # fmt: skip
        self.runner.run(command, "cannot read the lists of Debian packages", mend)
        self.apt("install", *wanted)

    def apt(self, *words: str) -> None:
        command = [
            "apt-get", "-q", "-y", "--no-install-recommends",
            "-o", f"DPkg::Lock::Timeout={LOCK_PATIENCE_SECONDS}",
            "-o", "Acquire::Retries=3",
            "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
            *self.apt_certificates(), *words,
        ]  # fmt: skip
        self.runner.run(
            command,
            "cannot install Debian packages",
            "see whether `apt-get install nginx` works by itself",
        )

    def apt_certificates(self) -> "list[str]":
        bundle = self.software + "/ca-bundle.pem"
        return ["-o", "Acquire::https::CAInfo=" + bundle] if self.options.ca_file else []

    def wait_for_package_manager(self) -> None:
        started = time.monotonic()
        said = False
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

    # -- uv and our own wheel

    def pip_download(self, target: str, *words: str) -> None:
        pip = find_pip()
        if not pip:
            raise StageError(
                "Python has no pip",
                "",
                "install python3-venv (Debian), or your system's python3-pip",
            )
        # No cache: after a power cut it may be damaged, and uv is all that is fetched this way.
        command = [
            *pip, "download", "-q", "--no-cache-dir", "--no-deps", "--only-binary", ":all:",
            "-d", target, *words,
        ]  # fmt: skip
        self.runner.run(
            command,
            "cannot download Python packages",
            "see whether this machine reaches a package index; behind a proxy see --help; "
            "without a network see --wheels",
        )

    def fetch_uv(self) -> str:
        """The program uv, unpacked from its wheel: nothing needs to be installed for it."""
        version = UV.split()[0].partition("==")[2]
        place = f"{self.software}/bin/uv-{version}"
        if os.access(place, os.X_OK):
            return place
        with tempfile.TemporaryDirectory(dir=self.software) as folder:
            if self.options.wheels:
                found = sorted(glob.glob(self.options.wheels + "/uv-*.whl"))
            else:
                with open(folder + "/uv.txt", "w", encoding="ascii") as file:
                    file.write(UV.replace("\n  --hash", " --hash"))
                self.pip_download(folder, "--require-hashes", "-r", folder + "/uv.txt")
                found = glob.glob(folder + "/uv-*.whl")
            if not found:
                raise StageError(
                    "there is no wheel of uv in " + self.options.wheels,
                    "",
                    "put one there: pip download uv",
                )
            with zipfile.ZipFile(found[-1]) as wheel:
                inside = [name for name in wheel.namelist() if name.endswith(".data/scripts/uv")]
                with wheel.open(inside[0]) as source, open(folder + "/uv", "wb") as target:
                    shutil.copyfileobj(source, target)
                    target.flush()
                    os.fsync(target.fileno())
            os.chmod(folder + "/uv", 0o755)  # noqa: S103 - a program
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.replace(folder + "/uv", place)
        return place

    def fetch_wheel(self) -> str:
        """Our own wheel in SOFTWARE/wheels, from the source that was asked for."""
        with tempfile.TemporaryDirectory(dir=self.software) as folder:
            found = self.find_wheel(folder)
            self.log.write(f"{os.path.basename(found)} sha256 {sha256(found)}")
            place = os.path.join(self.software, "wheels", os.path.basename(found))
            if os.path.exists(place) and sha256(place) == sha256(found):
                return place
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
            source = download(source, folder, self.environment.get("SSL_CERT_FILE", ""))
        if os.path.isfile(source) and source.endswith(".whl"):
            return str(source)
        if os.path.isfile(source):
            source = unpack(source, folder)
        if os.path.isfile(source + "/pyproject.toml") and os.path.isfile(
            source + "/appliance/__init__.py"
        ):
            return self.build_wheel(source, folder)
        raise StageError(
            f"cannot install from {self.options.source!r}",
            "it is neither a checkout of the appliance, nor a wheel (.whl), nor an sdist (.tar.gz)",
            "give --source the path or URL of one of these",
        )

    def build_wheel(self, tree: str, folder: str) -> str:
        """A checkout brings the code that packs it; nothing needs to be downloaded for that."""
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); from installer.wheel import main; main()"
        )
        command = [sys.executable, "-I", "-c", code, tree, folder]
        self.runner.run(command, "cannot pack the checkout " + tree)
        return glob.glob(folder + "/*.whl")[0]

    def wheel_from_index(self, folder: str) -> str:
        version = self.options.version or VERSION
        name = DISTRIBUTION.replace("-", "_")
        if self.options.wheels:
            found = glob.glob(f"{self.options.wheels}/{name}-{version}-*.whl")
            if not found:
                raise StageError(
                    f"there is no wheel of {DISTRIBUTION} {version} in {self.options.wheels}",
                    "", "put it there, or name it with --source",
                )  # fmt: skip
            return found[0]
        self.pip_download(folder, f"{DISTRIBUTION}=={version}")
        return glob.glob(f"{folder}/{name}-*.whl")[0]

    # -- handing over

    def build_hub_environment(self, uv: str, wheel: str) -> str:
        """The wheel's own code makes the environment: Python imports from a wheel as it is."""
        python = sys.executable if self.options.trial else "/usr/bin/python3"
        code = "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        code += "from installer.environments import main; main()"
        command = [python, "-I", "-c", code, wheel, "hub", self.software, uv, wheel, python]
        self.runner.run(command, "cannot build the hub's environment", on_line=self.take_event)
        return self.software + "/hub/bin/python"

    def hand_over(self, python: str, uv: str, wheel: str) -> None:
        options = self.options
        command = [python, "-I", "-m", "installer", "--events", "--uv", uv, "--wheel", wheel]
        command += ["--trial", options.trial, "--python", sys.executable] if options.trial else []
        command += ["--port", str(options.port)] if options.port else []
        command += (
            ["--user-requirements", options.user_requirements] if options.user_requirements else []
        )
        for name in options.admin:
            command += ["--admin", name]
        try:
            self.runner.run(command, "the installer ended", on_line=self.take_event)
        except BaseException:
            self.screen.end(ok=False)
            raise
        self.screen.end()

    def take_event(self, line: str) -> bool:
        """What the installer tells: lines of JSON. Everything else is output for the log."""
        if not line.startswith('{"event":'):
            return False
        event = json.loads(line)
        kind = event["event"]
        if kind == "stage":
            self.screen.end()
            self.screen.begin(event["title"])
            self.log.write("-- " + event["title"])
        elif kind == "detail":
            self.screen.detail = event["text"]
        elif kind == "failed":
            raise StageError(event["what"], event["why"], event["mend"])
        elif kind == "result":
            self.result = event
        return True


def package_lists_are_fresh(machine: Machine) -> bool:
    lists = glob.glob(machine.path("/var/lib/apt/lists/*_Packages*"))
    return bool(lists) and machine.now() - max(os.stat(path).st_mtime for path in lists) < 86400


def sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(MIB), b""):
            digest.update(block)
    return digest.hexdigest()


def own_checkout(version: "str | None") -> str:
    """The folder of this file if it is a checkout, and no other version is asked for."""
    file = globals().get("__file__") or ""
    folder = os.path.dirname(os.path.abspath(file))
    there = os.path.isfile(file) and os.path.isfile(folder + "/appliance/__init__.py")
    return folder if there and version in (None, VERSION) else ""


def download(url: str, folder: str, bundle: str) -> str:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https", "file"):
        raise StageError(
            "cannot download " + url,
            "",
            "give --source the http(s) address of a wheel or of a .tar.gz",
        )
    target = os.path.join(
        folder, os.path.basename(urllib.parse.urlsplit(url).path) or "source.tar.gz"
    )
    context = ssl.create_default_context(cafile=bundle or None)
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=60) as answer, open(target, "wb") as file:
            shutil.copyfileobj(answer, file)
    except (OSError, urllib.error.URLError) as error:
        mend = f"see whether curl -LO {url} works"
        raise StageError("cannot download " + url, str(error), mend) from error
    return target


def unpack(archive: str, folder: str) -> str:
    """The one folder at the top of an sdist; links and paths that lead out are passed over."""
    target = os.path.join(folder, "source")
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                parts = member.name.split("/")
                if member.isfile() and ".." not in parts and not member.name.startswith("/"):
                    path = os.path.join(target, member.name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    content = tar.extractfile(member)
                    if content:
                        with content, open(path, "wb") as file:
                            shutil.copyfileobj(content, file)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise StageError("cannot unpack " + archive, str(error), "download it again") from error
    tops = os.listdir(target) if os.path.isdir(target) else []
    return os.path.join(target, tops[0]) if len(tops) == 1 else target


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
        lines.append("install the Debian packages {}".format(", ".join(packages)))
    if "nginx" in packages:
        lines.append("keep nginx's own service off (masked)")
    if machine.exists(SOFTWARE + "/hub"):
        lines.append(
            "look over the installed appliance, mend and update what needs it, and interrupt nobody"
        )
    else:
        lines.append(f"put the software into {SOFTWARE} (about 0.6 GB)")
        lines.append("make the accounts appliance-hub and appliance-proxy, and three services")
    lines.append(f"serve everybody on port {wanted_port(machine, options)}")
    lines += [f"make {name} an admin of the hub" for name in options.admin]
    if adopted:
        lines.append(
            "use {} from your own environment, which sudo had removed".format(
                ", ".join(sorted(adopted))
            )
        )
    return lines


def ask_to_go_on() -> bool:
    """On the terminal even when this file came by a pipe; without one, the command itself was the
    consent.
    """
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
    lines.append(
        "{} found; nothing was changed.".format(
            "1 problem" if len(problems) == 1 else str(len(problems)) + " problems"
        )
    )
    sys.stderr.write("\n".join(lines) + "\n")
    return problems[0].code if len(problems) == 1 else REFUSED


def print_result(screen: Screen, result: "dict[str, Any]") -> None:
    """The addresses and set-up links, in a box for people, bare for scripts."""
    addresses, links, notes = (
        result.get("addresses", []),
        result.get("links", []),
        result.get("notes", []),
    )
    if screen.quiet:
        screen.write("".join(line + "\n" for line in addresses + [link["url"] for link in links]))
        return
    lines = ["The appliance is running: " + (addresses[0] if addresses else "")]
    lines += ["                     also: " + address for address in addresses[1:]]
    for link in links:
        lines += [
            "",
            "{} chooses a password here, once, within {}:".format(link["name"], link["lifetime"]),
            "  " + link["url"],
        ]
    lines += [""] * bool(notes) + list(notes)
    width = max(len(line) for line in lines)
    rule = "+" + "-" * (width + 2) + "+"
    screen.write(
        "\n"
        + "\n".join([rule] + ["| " + line.ljust(width) + " |" for line in lines] + [rule])
        + "\n"
    )


def start_trial(options: argparse.Namespace) -> NoReturn:
    """Become the trial's supervisor, which runs until Ctrl-C."""
    python = options.trial + "/software/hub/bin/python"
    os.environ["APPLIANCE_TRIAL"] = options.trial
    os.execv(
        python, [python, "-I", "-m", "appliance.trial"] + (["--quiet"] if options.quiet else [])
    )


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
    screen.say("will:")
    for line in plan_lines(options, machine, adopted):
        screen.say("  - " + line)
    if not (options.yes or options.quiet or options.trial or ask_to_go_on()):
        screen.say("Nothing was changed.")
        return REFUSED
    if options.trial:
        os.makedirs(options.trial, exist_ok=True)
    log, stage = None, ""
    try:
        lock = take_lock(options.trial + "/install.lock" if options.trial else LOCK_FILE)
        log = Log(options.trial + "/install.log" if options.trial else LOG_FILE)
        log.write(f"options: {vars(options)}")
        bootstrap = Bootstrap(options, machine, screen, log)
        bootstrap.run()
        lock.close()
    except StageError as failure:
        stage = screen.title
        screen.fail(stage, failure, log)
        return REFUSED
    log.write(f"done in {time.monotonic() - screen.started:.0f} s")
    if options.trial:
        start_trial(options)
    print_result(screen, bootstrap.result)
    return DONE


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
        return install(options, Machine(), screen)
    except KeyboardInterrupt:
        screen.end(ok=False)
        sys.stderr.write("\nStopped. Running the same command again goes on from here.\n")
        return 130
    except PermissionError as error:
        screen.end(ok=False)
        sys.stderr.write(f"cannot write {error.filename}: {error.strerror}\n")
        return REFUSED
    finally:
        screen.stop_spinning()


if __name__ == "__main__":
    sys.exit(main())
