"""Disk images for test machines, each made once and kept.

*Base*: what a fresh cloud machine has; made by mmdebstrap. *Installed*: a base on which the real
one-command install of this checkout ran. Both are keyed by a hash of what they are made of, so a
changed recipe or a changed checkout makes a new image and never meets a stale one. Machines don't
write to them: they boot from a copy-on-write layer.

Images live in $APPLIANCE_MACHINES (default /var/tmp/appliance-machines).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Final

_DISK_SIZE: Final = "8G"
_KEEP_SECONDS: Final = 24 * 3600
_TOOLS: Final = ("linux.uml", "mmdebstrap", "mkfs.ext4", "ip", "iptables", "ssh", "unshare", "cc")

# systemd, D-Bus, udev, Python, curl, sudo, ssh: what every cloud image of Debian has and minbase
# lacks. kmod is for the modules of the test machine's kernel.
_PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod",
    "python3", "curl", "sudo", "openssh-server", "ca-certificates", "iproute2",
)  # fmt: skip

# Terminals that nobody sits at, and timers that would download and scan in the middle of a test.
_MASKED: Final = (
    "getty@tty1.service", "console-getty.service", "e2scrub_reap.service",
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "fstrim.timer", "systemd-pstore.service", "systemd-binfmt.service",
)  # fmt: skip

# The kernel's command line carries the address (ip=…), systemd turns it into networkd's language.
_ENABLED: Final = ("systemd-networkd.service", "systemd-network-generator.service")

_FILES: Final = {
    "etc/hostname": "appliance\n",
    "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 appliance\n::1 localhost\n",
    # No check of the disk at boot: it waits for udev, and mounting replays the journal anyway.
    "etc/fstab": "/dev/ubda / ext4 defaults 0 0\n",
    # Coldplugging every terminal and memory block takes seconds in a machine that has no hardware.
    "etc/systemd/system/systemd-udev-trigger.service.d/few.conf": (
        "[Service]\nExecStart=\nExecStart=-udevadm trigger --type=all --action=add"
        " --subsystem-match=net --subsystem-match=block --prioritized-subsystem=net,block\n"
    ),
}


class ImageError(Exception):
    """A disk image can't be made."""


class Debian(StrEnum):
    """A Debian release that the appliance is promised to run on."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"


def cache() -> Path:
    folder = Path(os.environ.get("APPLIANCE_MACHINES", "/var/tmp/appliance-machines"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_tools() -> None:
    """Raise with all missing tools at once and the command that brings them."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        raise ImageError("test machines need root: network devices and file systems are made")
    if missing:
        packages = "grep -v '^#' tests/integration/packages.txt"
        raise ImageError(
            f"not found: {', '.join(missing)} (to mend: apt-get install $({packages}))"
        )


def base_image(debian: Debian) -> Path:
    """The disk of a machine that has nothing but Debian."""
    check_tools()
    recipe = repr((_DISK_SIZE, _PACKAGES, _MASKED, _ENABLED, _FILES))
    key = digest([recipe, _modules().name, _public_ssh_key().read_text()])
    return make_once(f"base-{debian}-{key}", lambda target: _make_base(debian, target))


def preload_library() -> Path:
    """The repairs to User-Mode Linux, compiled; uml.c says what they are."""
    source = Path(__file__).with_name("uml.c")
    return make_once(
        f"uml-{digest([source.read_text()])}.so",
        lambda target: run(
            "cc", "-Wall", "-Wextra", "-O2", "-shared", "-fPIC", "-o", str(target), str(source)
        ),
    )


def ssh_key() -> Path:
    """The private key that opens every machine of this cache; its public half lies beside it."""

    def make(target: Path) -> None:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test machine", "-f", str(target))
        target.with_name(f"{target.name}.pub").rename(cache() / "ssh_key.pub")

    return make_once("ssh_key", make)


def _public_ssh_key() -> Path:
    return ssh_key().with_suffix(".pub")


def make_once(name: str, make: Callable[[Path], None]) -> Path:
    """A cached file or folder, made under a lock if it isn't there; never seen half made."""
    target = cache() / name
    if not target.exists():
        with _locked(name):
            if not target.exists():
                unfinished = cache() / f".{name}.unfinished"
                try:
                    _remove(unfinished)
                    make(unfinished)
                    unfinished.rename(target)
                finally:
                    _remove(unfinished)
    _mark_used(target)
    return target


def forget_unused(pattern: str) -> None:
    """Delete what is cached under a pattern and no test has used for a day."""
    for image in cache().glob(pattern):
        mark = cache() / f".{image.name}.used"
        if not mark.exists() or time.time() - mark.stat().st_mtime > _KEEP_SECONDS:
            _remove(image)
            mark.unlink(missing_ok=True)


def digest(parts: Iterable[str | bytes]) -> str:
    """A short hash of texts."""
    summary = hashlib.sha256()
    for part in parts:
        summary.update(part.encode() if isinstance(part, str) else part)
        summary.update(b"\0")
    return summary.hexdigest()[:16]


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a disk, but not the nothing between its files."""
    run("cp", "--sparse=always", "--reflink=auto", str(source), str(target), timeout=300)


def run(*command: str, timeout: float = 60) -> None:
    """Run a tool of this host; raises with what it complained about."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _mark_used(image: Path) -> None:
    # A mark of its own: the image's time is written into every layer above and must not change.
    (cache() / f".{image.name}.used").touch()


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    with (cache() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_base(debian: Debian, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache(), prefix=".root-") as folder:
        root = Path(folder, "root")
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
             debian, str(root), timeout=900)  # fmt: skip
        _furnish(root)
        with target.open("wb"):
            run("truncate", "--size", _DISK_SIZE, str(target))
        run("mkfs.ext4", "-q", "-F", "-L", "root", "-d", str(root), str(target), timeout=300)


def _furnish(root: Path) -> None:
    """Make a bare Debian bootable as a test machine that we can enter."""
    for name, text in _FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    ssh = root / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(_public_ssh_key(), ssh / "authorized_keys")
    modules = _modules()
    shutil.copytree(modules, root / "usr/lib/modules" / modules.name, symlinks=True)
    run("systemctl", f"--root={root}", "mask", *_MASKED)
    run("systemctl", f"--root={root}", "enable", *_ENABLED)


def _modules() -> Path:
    """The modules of the installed User-Mode Linux, in a folder named by the kernel's release."""
    release = subprocess.run(
        ["linux.uml", "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = Path("/usr/lib/uml/modules", release)
    if not folder.is_dir():
        raise ImageError(f"linux.uml is release {release}, but {folder} isn't there")
    return folder
