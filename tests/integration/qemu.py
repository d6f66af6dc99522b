"""A test machine with Debian's own kernel, in QEMU: what holds here holds on servers in use.

User-Mode Linux can't show the seccomp filters of a process, and most hosts have no memory
controller to lend to systemd-nspawn. This kernel has both, so that it alone shows a limit and the
copied filters on one and the same server. Without KVM a processor is emulated: booting an installed
machine takes half a minute to two, a cold start of a server ten seconds. So CI doesn't wait for it:

    python -m tests.integration.qemu [MORE ARGUMENTS OF PYTEST]

runs the tests of preloading with it.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests.integration import images
from tests.integration.images import ImageError
from tests.integration.machine import Machine

# The image's own are those of User-Mode Linux. In the order in which they need one another.
_MODULES: Final = (
    "drivers/virtio/virtio_ring.ko", "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko", "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko", "drivers/block/virtio_blk.ko", "net/core/failover.ko",
    "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko",
)  # fmt: skip
_FOLDERS: Final = ("bin", "dev", "modules", "proc", "root", "sys")
_INIT: Final = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for module in /modules/*; do $b insmod $module; done
until [ -b /dev/vda ]; do $b sleep 0.1; done
$b mount -t ext4 /dev/vda /root
$b sed -i s,/dev/ubda,/dev/vda, /root/etc/fstab
$b umount /proc /sys
$b mount --move /dev /root/dev
exec $b switch_root /root /lib/systemd/systemd
"""


class QemuMachine(Machine):
    """The same machine on Debian's kernel; switched off, it forgets what was on its disk."""

    boot_seconds = 400

    def _kernel_command(self) -> list[str]:
        link, kernel = self._network.link, debian_kernel()
        words = [
            "console=ttyS0", "root=/dev/vda", "rw", "quiet", "net.ifnames=0", "mitigations=off",
            "random.trust_cpu=on", "systemd.show_status=no",
            "systemd.mask=serial-getty@ttyS0.service",
            f"ip={link.guest}::{link.host}:255.255.255.0::eth0:none",
        ]  # fmt: skip
        return [
            "nice", "qemu-system-x86_64", "-machine", "pc,vmport=off,usb=off", "-cpu", "max",
            "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2", "-m", self._memory,
            "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
            "-pidfile", f"{self.folder}/qemu.pid",
            "-drive", f"id=disk,file={self._image},format=raw,if=none,snapshot=on",
            "-device", "virtio-blk-pci,drive=disk,disable-legacy=on",
            "-netdev", f"tap,id=net,ifname={link.tap},script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=net,romfile=,disable-legacy=on",
            "-kernel", str(kernel / "vmlinuz"), "-initrd", str(kernel / "initrd"),
            "-append", " ".join(words),
        ]  # fmt: skip


def debian_kernel() -> Path:
    """A folder with the kernel of this host's Debian release for clouds, and an initrd for it."""
    if shutil.which("qemu-system-x86_64") is None:
        raise ImageError("apt-get install --no-install-recommends qemu-system-x86")
    images.forget_unused("kernel-*")
    return images.make_once(f"kernel-{images.digest([_INIT, *_MODULES])}", _make_kernel)


def _make_kernel(target: Path) -> None:
    target.mkdir()
    with tempfile.TemporaryDirectory(prefix="kernel-", dir=images.cache()) as folder:
        root = Path(folder)
        for package in (_newest("linux-image-cloud-amd64"), "busybox-static"):
            _unpack(package, root)
        (kernel,) = root.glob("boot/vmlinuz-*")
        shutil.copyfile(kernel, target / "vmlinuz")
        (target / "initrd").write_bytes(_initrd(root))


def _newest(package: str) -> str:
    """The package that an empty one stands for."""
    told = subprocess.run(
        ["apt-cache", "depends", package], capture_output=True, text=True, check=True
    ).stdout
    found = [line.split()[1] for line in told.splitlines() if "Depends: linux-image-" in line]
    if not found:
        raise ImageError(f"apt knows no {package}: apt-get update")
    return found[0]


def _unpack(package: str, root: Path) -> None:
    done = subprocess.run(
        ["apt-get", "download", "-qq", package], cwd=root,
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode:
        raise ImageError(f"cannot download {package}: {done.stderr}")
    (archive,) = root.glob(f"{package}_*.deb")
    images.run("dpkg-deb", "--extract", str(archive), str(root), timeout=120)


def _initrd(root: Path) -> bytes:
    """What mounts the disk, as an archive of cpio's format "newc", which Linux unpacks."""
    (modules,) = root.glob("lib/modules/*/kernel")
    folder, program, file = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFREG | 0o644
    entries = [
        *((name, folder, b"") for name in _FOLDERS),
        ("init", program, _INIT.encode()),
        ("bin/busybox", program, (root / "bin/busybox").read_bytes()),
        *(
            (f"modules/{number}.ko", file, (modules / name).read_bytes())
            for number, name in enumerate(_MODULES)
        ),
        ("TRAILER!!!", 0, b""),
    ]
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, start=1))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def main() -> int:
    """Run the tests that are for this machine alone."""
    tests = Path(__file__).with_name("qemu_preload.py")
    return pytest.main([str(tests), "-m", "machine", "-s", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
