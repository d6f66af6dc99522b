"""A test machine on this host's own kernel, booted by systemd-nspawn in a second.

It is for what User-Mode Linux can't show: reading the seccomp filters of a process. On hosts with
the old layout of cgroups it has no controllers, so limits don't bite; those are for `Machine`.

The disk is the same image, mounted read-only below a layer in memory. Mounts, the loop device, the
layer and the network (a loopback interface alone) belong to the processes of the machine: the
kernel removes all of them with the last process, whatever way the test ends.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.machine import Machine, MachineError, booted
from tests.integration.commands import COMMAND_SECONDS, Commands
from tests.integration.machine import artifacts, current_test
from tests.integration.ssh import CommandError, Result

# In namespaces of its own, so that nothing is left mounted. The image's fstab names a device of
# User-Mode Linux.
_MOUNT: Final = """\
set -e
mount -t tmpfs -o mode=755 tmpfs "$2"
cd "$2"
mkdir disk changes work root
mount -o loop,ro,noload "$1" disk
mount -t overlay -o lowerdir=disk,upperdir=changes,workdir=work overlay root
: >root/etc/fstab
shift 2
exec "$@"
"""


def why_not(image: Path) -> str:
    """Why this host can't run such a machine; empty if it can.

    Our units have user namespaces, which Linux gives to no process in a chroot.
    """
    missing = [tool for tool in ("systemd-nspawn", "nsenter", "setpriv") if not shutil.which(tool)]
    if missing:
        return f"not found: {', '.join(missing)}"
    with _folder() as folder:
        trial = subprocess.run(
            [*_by(image, folder), "systemd-nspawn", f"--directory={folder}/root", "--register=no",
             "--keep-unit", "--settings=no", "--resolv-conf=off", "--timezone=off",
             "--private-network", "--quiet", "unshare", "--user", "true"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    return trial.stderr.strip() if trial.returncode else ""


class NativeMachine(Commands):
    """Context manager: a booted machine from an image, checked and thrown away at the end."""

    def __init__(self, image: Path) -> None:
        super().__init__()
        self._image = image
        self._has_failed_test = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as exits:
            self._folder = exits.enter_context(_folder())
            root = self._folder / "root"
            by = _by(self._image, self._folder)
            self._machine: Machine = exits.enter_context(booted(root, by=by, has_own_network=True))
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._exits:
            if error is not None:
                self.note_failed_test()
            if not self._has_failed_test and (problems := self.problems()):
                self.note_failed_test()
                raise MachineError("the machine is not well:\n" + "\n".join(problems))

    @property
    def root(self) -> Path:
        """The machine's file system, seen from this host."""
        return Path(f"/proc/{self._machine.leader}/root")

    @property
    def network(self) -> Path:
        """The machine's network, for programs of this host that go there."""
        return Path(f"/proc/{self._machine.leader}/ns/net")

    def attempt(
        self, command: str, *, timeout: float = COMMAND_SECONDS, stdin: bytes | str = b""
    ) -> Result:
        """Run a line of shell as root, whatever comes of it."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        started = time.monotonic()
        limited = f"timeout --kill-after=5 {timeout:.0f} bash -c {shlex.quote(command)}"
        done = subprocess.run(
            self._machine.entering(limited), env=self._machine.environment(), input=data,
            capture_output=True, check=False, timeout=timeout + 15,
        )  # fmt: skip
        seconds = time.monotonic() - started
        output, complaints = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        result = Result(command, done.returncode, output, complaints, seconds)
        with self._log.open("a") as log:
            log.write(f"{result.describe()}\n\n")
        return result

    def note_failed_test(self) -> None:
        """Keep commands and journal where CI collects them; never raises."""
        self._has_failed_test = True
        target = artifacts() / f"{current_test()}-native-{os.getpid()}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        with contextlib.suppress(CommandError, OSError, subprocess.SubprocessError):
            journal = self._machine.run("journalctl --no-pager --boot=0", check=False)
            (target / "journal.txt").write_text(journal)
        with contextlib.suppress(OSError):
            shutil.copy(self._log, target)

    @property
    def _log(self) -> Path:
        return self._folder.with_suffix(".log")


def _by(image: Path, folder: Path) -> list[str]:
    """The command that becomes its arguments where the image is mounted; killed with this one."""
    return [
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private",
        "sh", "-c", _MOUNT, "sh", str(image), str(folder),
    ]  # fmt: skip


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A place to mount on, and beside it the console and the log of commands."""
    with tempfile.TemporaryDirectory(prefix="native-machine-", dir="/var/tmp") as parent:
        folder = Path(parent, "machine")
        folder.mkdir()
        yield folder
