"""A throwaway machine: a whole Debian with systemd and cgroup v2, booted in seconds.

It is User-Mode Linux, a Linux kernel that runs as an ordinary process. KVM would be faster and is
not to be had in most CI; systemd-nspawn is faster, too, but shows systemd the host's cgroups, and
on a host with the old layout memory and CPU limits then don't bite. Killing the process is a power
cut: what the guest had not written to its disk is gone.

Processor speed is native for computing and poor for system calls, on one virtual processor: tests
here prove correctness, never speed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.integration import images
from tests.integration.commands import COMMAND_SECONDS, Commands
from tests.integration.images import Debian
from tests.integration.network import Network, NetworkError
from tests.integration.power import Power
from tests.integration.serve import FileServer
from tests.integration.ssh import CommandError, Result, Shell

_log = logging.getLogger(__name__)

_ALIVE: Final = ("running", "degraded")


class MachineError(Exception):
    """A test machine did not do what a machine does; the message has its console's last lines."""


class Machine(Commands):
    """Context manager: a booted machine, checked and thrown away at the end.

    `image` (default: the release's base image) is never written to. With `disk` the machine boots
    from that file and does write to it, for making images.
    """

    boot_seconds = 180
    """How long it may take to be up or down."""

    def __init__(
        self,
        debian: Debian,
        *,
        image: Path | None = None,
        disk: Path | None = None,
        memory: str = "1G",
    ) -> None:
        super().__init__()
        self.debian = debian
        self._image = image
        self._disk = disk
        self._memory = memory
        self._has_failed_test = False

    # Life

    def __enter__(self) -> Self:
        images.check_tools()
        with contextlib.ExitStack() as exits:
            self._prepare(exits)
            try:
                self.boot()
            except BaseException:
                self.save_artifacts()
                raise
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
                self.save_artifacts()
            elif self._power.is_on and not self._has_failed_test:
                self.check()

    def _prepare(self, exits: contextlib.ExitStack) -> None:
        if self._disk is None and self._image is None:
            self._image = images.base_image(self.debian)
        self._network = exits.enter_context(Network())
        self.folder = self._network.link.folder
        self.address = self._network.link.guest
        self._power = Power(console=self.folder / "console.log")
        exits.callback(self._power.cut)
        self._shell = Shell(address=self.address, key=images.ssh_key(), folder=self.folder)
        exits.callback(self._shell.disconnect)

    def boot(self) -> None:
        """Switch on and wait until every unit has had its turn."""
        started = time.monotonic()
        self._network.record_process(self._power.switch_on(self._kernel_command()))
        self._wait_for_boot(started)
        _log.info("%s booted in %.1f s", self.debian, time.monotonic() - started)

    def reboot(self) -> None:
        """Reboot as a person would and wait until it is up again."""
        self._go_down("systemctl reboot")
        self.boot()

    def power_off(self) -> None:
        """Shut down in good order."""
        self._go_down("systemctl poweroff")

    def _go_down(self, command: str) -> None:
        self._shell.run(command, timeout=30)
        if not self._power.wait_for_off(timeout=self.boot_seconds):
            raise self._problem(f"is still up after `{command}`")
        self._shell.disconnect()

    def cut_power(self) -> None:
        """Stop the machine dead; `boot` it again from the disk as it was at that moment."""
        self._power.cut()
        self._shell.disconnect()

    # Work

    @property
    def http_base(self) -> str:
        """Where this host, and Chromium on it, finds the machine's port 80."""
        return f"http://{self.address}"

    @property
    def ssh_command(self) -> str:
        return self._shell.command_line

    def attempt(
        self, command: str, *, timeout: float = COMMAND_SECONDS, stdin: bytes | str = b""
    ) -> Result:
        """Run a line of shell as root, whatever comes of it."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        result = self._shell.run(command, timeout=timeout, stdin=data)
        with (self.folder / "commands.log").open("a") as log:
            log.write(f"{result.describe()}\n\n")
        return result

    def serve(self, folder: Path) -> str:
        """Give the files of a folder on this host to the machine; returns the address."""
        server = FileServer(folder, address=self._network.link.host)
        return self._exits.enter_context(server).url

    # Check

    def check(self) -> None:
        """Raise if a unit failed, one of ours complained, or a user's server was left running."""
        problems = self.problems()
        if problems:
            self.save_artifacts()
            raise MachineError("the machine is not well:\n" + "\n".join(problems))

    def note_failed_test(self) -> None:
        self._has_failed_test = True
        # Without its network it is gone already: what failed was its end, which saves by itself.
        with contextlib.suppress(NetworkError):
            self.save_artifacts()

    def save_artifacts(self) -> None:
        """Keep console, commands and journal where CI collects them; never raises."""
        with contextlib.suppress(CommandError, OSError):
            if self._shell.is_connected:
                journal = self._shell.run("journalctl --no-pager --boot=all", timeout=60).stdout
                (self.folder / "journal.txt").write_text(journal)
        target = artifacts() / f"{current_test()}-{self.debian}-{self._network.link.slot}"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for file in self.folder.glob("*.*"):
            if file.suffix in {".log", ".txt"}:
                shutil.copy(file, target)
        _log.error("console, commands and journal of the machine: %s", target)

    # Boot

    def _kernel_command(self) -> list[str]:
        link = self._network.link
        return [
            "env", f"LD_PRELOAD={images.preload_library()}", "linux.uml",
            f"mem={self._memory}", f"ubd0={self._block_device()}", "root=/dev/ubda", "rw",
            "con0=null,fd:1", "con=null", "ssl=null", f"uml_dir={self.folder}/uml",
            f"vec0:transport=tap,ifname={link.tap},depth=128,gro=1",
            f"ip={link.guest}::{link.host}:255.255.255.0::vec0:none",
            # UML's own restart keeps the tap device open and can't open it anew; so a restart
            # switches off, and `reboot` on again.
            "noreboot",
            "quiet", "selinux=0", "systemd.show_status=no", "systemd.unified_cgroup_hierarchy=1",
            # libzmq aborts now and then on this kernel's epoll, and a template's rehearsal uses it.
            "systemd.setenv=APPLIANCE_NO_REHEARSAL=1",
        ]  # fmt: skip

    def _block_device(self) -> str:
        return str(self._disk) if self._disk else f"{self.folder}/disk.cow,{self._image}"

    def _wait_for_boot(self, started: float) -> None:
        while not (self._shell.answers() and self._shell.connect(timeout=30)):
            if not self._power.is_on:
                raise self._problem("went off while booting")
            if time.monotonic() > started + self.boot_seconds:
                raise self._problem(f"did not boot within {self.boot_seconds} s")
            time.sleep(0.1)
        if self._shell.process:
            self._network.record_process(self._shell.process)
        self._furnish()
        state = self.attempt("systemctl is-system-running --wait", timeout=self.boot_seconds).stdout
        if state.strip() not in _ALIVE:
            raise self._problem(f"booted into the state {state.strip()!r}")

    def _furnish(self) -> None:
        """Let the guest reach the registries the way this host does."""
        self.execute("tar --extract --directory=/ --no-same-owner", stdin=_host_settings())

    def _problem(self, what: str) -> MachineError:
        return MachineError(
            f"the {self.debian} machine {what}; its console:\n{self._power.console_tail()}"
        )


def artifacts() -> Path:
    """Where a failed test leaves what helps to understand it."""
    default = Path(tempfile.gettempdir(), "appliance-artifacts")
    folder = Path(os.environ.get("APPLIANCE_ARTIFACTS", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def current_test() -> str:
    """The running test's name, fit for a file; `by-hand` outside of pytest."""
    name = os.environ.get("PYTEST_CURRENT_TEST", "by-hand").split(" ")[0].rpartition("::")[2]
    return re.sub(r"[^\w.-]+", "_", name).strip("_")


def _host_settings() -> bytes:
    """A tar file: name servers, trusted certificates, and how apt fetches on this host."""
    files = {
        "etc/resolv.conf": _name_servers(),
        "etc/ssl/certs/ca-certificates.crt": Path(
            "/etc/ssl/certs/ca-certificates.crt"
        ).read_bytes(),
        "etc/apt/apt.conf.d/95test-machine": _apt_settings(),
    }
    for secret in Path("/etc/apt/auth.conf.d").glob("*"):
        files[f"etc/apt/auth.conf.d/{secret.name}"] = secret.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), int(time.time()), 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _name_servers() -> bytes:
    """The host's resolv.conf; behind a stub on loopback, the file with the real servers."""
    host = Path("/etc/resolv.conf").read_bytes()
    real = Path("/run/systemd/resolve/resolv.conf")
    if re.search(rb"^nameserver\s+127\.", host, re.MULTILINE) and real.exists():
        return real.read_bytes()
    return host


def _apt_settings() -> bytes:
    wanted = r"Acquire::(https?|Check-Date|Check-Valid-Until|Retries|ForceIPv[46])\b.*"
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if re.match(wanted, line)).encode()
