"""`--quota` of the one command: homes on an ext4 of their own, classes on the system's disk."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.classroom import wait_for
from tests.integration.images import Debian
from tests.integration.installed import CHECKOUT, Release, make_release
from tests.integration.machine import Machine

pytestmark = [pytest.mark.machine, pytest.mark.long, pytest.mark.timeout(1800)]

# The disk of homes is there after a restart, too.
UNIT = """\
[Unit]
DefaultDependencies=no
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=modprobe loop
ExecStart=losetup /dev/loop0 /var/homes
[Install]
WantedBy=local-fs.target
"""
DISK = """\
set -e
truncate -s 300M /var/homes
mkfs.ext4 -q /var/homes
systemctl enable --quiet --now homes-disk
echo '/dev/loop0 /home ext4 defaults 0 0' >>/etc/fstab
systemctl daemon-reload
mount /home
useradd --create-home --shell /bin/bash ada
"""
# By this name Linux without an initial ramdisk calls the disk that it booted from.
ROOT_DISK = "L /dev/root - - - - ubda\n"
BEFORE_QUOTAS = "[Unit]\nAfter=systemd-tmpfiles-setup-dev.service\n"


class Owner:
    """Who types the command, with an account of the usual kind and the right to sudo."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.release: Release = make_release(CHECKOUT, folder)
        self.url = machine.serve(folder)

    def installs(self, options: str, *, standing_in: str) -> str:
        host = self.url.partition("//")[2].partition(":")[0]
        line = (
            f"set -o pipefail; cd {standing_in}; curl -fsS {self.url}/bootstrap.py"
            f" | sudo PIP_TRUSTED_HOST={host} python3 - --yes"
            f" --source {self.url}/{self.release.wheel.name} {options} 2>&1"
        )
        return self.machine.execute(f"runuser -l ada -c {shlex.quote(line)}", timeout=1200)


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    with Machine(Debian.BOOKWORM) as machine:
        machine.write_file("/etc/systemd/system/homes-disk.service", UNIT)
        machine.write_file("/etc/tmpfiles.d/root-disk.conf", ROOT_DISK)
        for unit in ("systemd-quotacheck", "quotaon"):
            machine.write_file(f"/etc/systemd/system/{unit}.service.d/disk.conf", BEFORE_QUOTAS)
        machine.write_file("/etc/sudoers.d/ada", "ada ALL=(ALL) NOPASSWD: ALL\n", mode=0o440)
        machine.execute(DISK)
        machine.execute("systemd-tmpfiles --create /etc/tmpfiles.d/root-disk.conf")
        yield Owner(machine, tmp_path)


def add(machine: Machine, name: str) -> None:
    """A user with a home, as the first start makes it."""
    machine.execute(f"appliance user add {name} && appliance server start {name}", timeout=120)
    machine.execute(f"appliance server stop {name}", timeout=60)


def written(machine: Machine, name: str, folder: str) -> tuple[int, str]:
    """How many bytes of 60 MiB a user could write there, and why no more."""
    file, account = f"{folder}/file", f"nb-{name}"
    done = machine.attempt(
        f"setpriv --reuid {account} --regid {account} --clear-groups"
        f" sh -c 'head -c 60M /dev/zero >{file}'; stat -c %s {file}; rm {file}",
        timeout=60,
    )
    return int(done.stdout), done.stderr


def check_limits(machine: Machine) -> None:
    """On the disk of homes, and where a server may write besides."""
    for folder in ("/home/nb-bob", "/var/tmp"):
        size, why = written(machine, "bob", folder)
        assert 15_000_000 < size <= 20 * 2**20, (folder, size, why)
        assert "Disk quota exceeded" in why


def check_it_goes_on(owner: Owner, name: str, why: str) -> None:
    """Told why there are no quotas; all else is as it would be without the option."""
    said = owner.installs("--quota", standing_in="/home/ada")
    assert "The appliance is running" in said
    assert "quotas are not on everywhere yet; what it takes: sudo appliance disk prepare" in said
    assert why in said
    add(owner.machine, name)
    assert written(owner.machine, name, f"/home/nb-{name}")[0] == 60 * 2**20


def test_limits_hold_from_the_first_user_on(owner: Owner) -> None:
    machine = owner.machine
    said = owner.installs("--quota", standing_in="/")
    assert "turn quotas on" in said
    assert "to give every home one: sudo appliance config set disk.home 5G" in said
    machine.execute("appliance config set disk.home 20M", timeout=90)
    add(machine, "bob")
    check_limits(machine)
    machine.reboot()
    wait_for(
        lambda: machine.attempt("appliance disk usage bob --now").stdout,
        lambda told: "counted by the disk" in told,
    )
    check_limits(machine)
    # A disk without quotas, which somebody uses who types the command.
    fresh = "install -d -o ada /home/ada"
    machine.execute(f"umount /home; mkfs.ext4 -q -F /dev/loop0; mount /home; {fresh}")
    check_it_goes_on(owner, "eve", "/home: it gets quotas by user and by project, for which")
    # One that never has any.
    machine.execute(f"umount /home; mount -t tmpfs tmpfs /home; {fresh}")
    check_it_goes_on(owner, "tom", "/home: tmpfs has no quotas by user: homes are measured instead")
