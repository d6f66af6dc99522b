"""One Linux machine with systemd, booted by systemd-nspawn at native speed.

The machine has a cgroup of its own with the unified hierarchy, which counts CPU seconds of each
unit (including processes that have ended) even where no controller is available. Commands are run
from outside by nsenter and so are not counted; what they make systemd do is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Final

from benchmarks import host

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_SECONDS: Final = 90
_number: Final = itertools.count()


class MachineError(Exception):
    """The machine did not boot, or a command in it failed; the text says which."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted machine: its files are at `root`, its first process is `leader`."""

    root: Path
    leader: int
    cgroup: Path

    def entering(self, command: str) -> list[str]:
        """The host's command that runs a line of shell as root in the machine."""
        # With its root, which isn't that of its mounts where this host is a container itself.
        return [
            "nsenter", "--all", "--root", "--wd", "-t", str(self.leader),
            "--", "/bin/sh", "-c", command,
        ]  # fmt: skip

    @staticmethod
    def environment() -> dict[str, str]:
        """The variables that a command in the machine has."""
        return host.environment() | {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8"}

    def run(self, command: str, *, timeout: float = 60, check: bool = True) -> str:
        """Run a shell command as root in the machine and return what it printed."""
        try:
            done = subprocess.run(
                self.entering(command),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = error.stdout or b""
            raise MachineError(
                f"cannot finish in {timeout:.0f} s: {command}\n{_tail(output.decode())}"
            ) from None
        if check and done.returncode:
            raise MachineError(
                f"cannot run (exit {done.returncode}): {command}\n{_tail(done.stdout)}"
            )
        return done.stdout

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file of the machine, making its directories."""
        target = self.inside(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def inside(self, path: str) -> Path:
        """The host's path of a file of the machine."""
        return self.root / path.lstrip("/")

    def unit_cgroup(self, unit: str) -> Path:
        """Where the cgroup of a running unit is; MachineError if the unit doesn't run."""
        path = self.run(f"systemctl show -P ControlGroup {shlex.quote(unit)}").strip()
        if not path:
            raise MachineError(f"cannot find the cgroup of {unit}: it isn't running")
        return self.cgroup / path.lstrip("/")


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-25:])


@contextlib.contextmanager
def booted(
    root: Path, *, by: Sequence[str] = (), has_own_network: bool = False
) -> Iterator[Machine]:
    """Boot the file system at `root`; power off at the end.

    `by` is a command that becomes the command of its arguments, after mounts that the machine
    needs. The network is the caller's, or of its own: a loopback interface, nothing else. The
    machine's root is as mighty as on hardware: with seccomp filters of systemd-nspawn no process
    could read those of another, which the preload daemon must.
    """
    group = _make_own_cgroup()
    command = [
        *by,
        # By its name it gets a folder of the host, which is deleted with the first of that name.
        "systemd-nspawn", "--boot", f"--directory={root}", f"--machine=machine-{token_hex(4)}",
        "--hostname=machine", "--register=no", "--keep-unit",
        "--settings=no", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
        "--console=pipe", "--capability=all", *(["--private-network"] if has_own_network else []),
        "systemd.unified_cgroup_hierarchy=1",
    ]  # fmt: skip
    log = root.with_suffix(".console").open("w")
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={"PATH": _PATH, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_SECCOMP": "0"},
        preexec_fn=group.enter,
        start_new_session=True,
    )
    try:
        yield _wait_for_boot(root, process)
    finally:
        _power_off(process)
        log.close()
        group.remove()


def _wait_for_boot(root: Path, process: subprocess.Popen[bytes]) -> Machine:
    deadline = time.monotonic() + _BOOT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for leader in _children(process.pid):
            with contextlib.suppress(OSError, IndexError, MachineError):
                path = _unified_path(leader)
                if not path.endswith("/init.scope"):
                    continue
                machine = Machine(root, leader, _unified_mount() / path[1 : -len("/init.scope")])
                state = machine.run("systemctl is-system-running", check=False).strip()
                if state in {"running", "degraded"}:
                    return machine
        time.sleep(0.25)
    console = _tail(root.with_suffix(".console").read_text(errors="replace"))
    raise MachineError(f"cannot boot {root} within {_BOOT_SECONDS} s\n{console}")


def _children(pid: int) -> list[int]:
    text = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children"))
    return [int(word) for word in text.split()]


def _power_off(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM makes systemd-nspawn shut the machine down in order; SIGKILL takes it all."""
    for number, seconds in ((signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(seconds)


def _unified_mount() -> Path:
    """Where the unified hierarchy is: alone, or beside the old ones."""
    beside = Path("/sys/fs/cgroup/unified")
    return beside if (beside / "cgroup.procs").exists() else Path("/sys/fs/cgroup")


def _unified_path(pid: int | str) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line[3:] for line in lines if line.startswith("0::"))


@dataclass(frozen=True, slots=True)
class _Cgroup:
    """Directories for one machine alone, so that two machines never share what they count."""

    directories: tuple[Path, ...]

    def enter(self) -> None:
        """Move the calling process; runs in the child before it becomes systemd-nspawn."""
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """Remove the directories bottom up; what is still in use stays, harmless."""
        for directory in self.directories:
            below = sorted(directory.rglob("*"), key=lambda path: -len(path.parts))
            for path in (*below, directory):
                if path.is_dir():
                    with contextlib.suppress(OSError):
                        path.rmdir()


def _make_own_cgroup() -> _Cgroup:
    name = f"machine-{os.getpid()}-{next(_number)}"
    parents = [_unified_mount() / _unified_path("self").lstrip("/")]
    legacy = Path("/sys/fs/cgroup/systemd")
    if (legacy / "cgroup.procs").exists():
        parents.append(legacy)
    directories = tuple(parent / name for parent in parents)
    for directory in directories:
        directory.mkdir(exist_ok=True)
    return _Cgroup(directories)
