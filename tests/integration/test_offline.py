"""Installed where there is no network at all, from one file; and served where there is no IPv4."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.images import Debian, base_image
from tests.integration.installed import CHECKOUT
from tests.integration.nspawn import NativeMachine, why_not
from tests.integration.preloaded import Preloaded

pytestmark = [pytest.mark.machine, pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("bundle") / "appliance.bundle"
    subprocess.run(
        [sys.executable, CHECKOUT / "bootstrap.py", "--make-bundle", file, "--python", "3.11"],
        check=True,
        timeout=900,
    )
    return file


@pytest.fixture(scope="module")
def room(bundle: Path) -> Iterator[Preloaded]:
    image = base_image(Debian.BOOKWORM)
    if reason := why_not(image):
        pytest.skip(f"systemd-nspawn can't boot a machine here: {reason}")
    with NativeMachine(image) as machine:
        machine.execute(
            "echo cpu memory pids >/run/controllers;"
            " mount --bind /run/controllers /sys/fs/cgroup/cgroup.controllers"
        )
        machine.write_file("/root/appliance.bundle", bundle.read_bytes())
        machine.write_file("/root/bootstrap.py", (CHECKOUT / "bootstrap.py").read_bytes())
        yield Preloaded(machine)


def test_a_damaged_bundle_is_refused(room: Preloaded) -> None:
    machine = room.machine
    machine.execute(
        "cp /root/appliance.bundle /root/damaged;"
        " printf x | dd of=/root/damaged bs=1 seek=50000000 conv=notrunc status=none"
    )
    refused = machine.attempt("python3 /root/bootstrap.py --yes --bundle /root/damaged", timeout=60)
    assert refused.code == 1
    assert "damaged" in refused.stderr, refused.describe()
    machine.execute("rm /root/damaged; test ! -e /opt/appliance")


def test_from_nothing_to_a_running_cell(room: Preloaded) -> None:
    machine = room.machine
    assert machine.execute("ls /sys/class/net").split() == ["lo"]
    machine.execute(
        "python3 /root/bootstrap.py --yes --admin ada --bundle /root/appliance.bundle 2>&1",
        timeout=600,
    )
    room.prepare()
    room.add("bob")
    room.start("bob")
    kernel = room.start_kernel("bob")
    assert room.run("bob", kernel, "print(6 * 7)").strip() == "42"
    machine.execute("ls /opt/appliance/wheels/offline/*.whl")


def test_without_ipv4_everything_is_served_as_before(room: Preloaded) -> None:
    machine = room.machine
    machine.execute(
        "ip -6 address add fd00::5/64 dev lo nodad; ip address del 127.0.0.1/8 dev lo;"
        " systemctl restart appliance-proxy appliance-hub appliance-spawner"
    )
    machine.wait_until("curl -fsS 'http://[fd00::5]/hub/health'")
    assert '"healthy": true' in machine.execute("appliance status --json")
    machine.execute("appliance config set limits.memory 900M", timeout=90)
    machine.execute("appliance server stop bob; appliance server start bob", timeout=90)
    page = machine.execute("curl -sS -o /dev/null -w '%{http_code}' 'http://[fd00::5]/hub/login'")
    assert page == "200"
    room.stop_all()
