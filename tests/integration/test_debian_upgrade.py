"""Debian 12 becomes Debian 13 in place: another Python, and the appliance is back by itself."""

from __future__ import annotations

import pytest

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine
from tests.integration.preloaded import Preloaded

pytestmark = [pytest.mark.machine, pytest.mark.long, pytest.mark.timeout(3600)]

_APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold"
_WEB = "curl -fsS -m 5 http://127.0.0.1/hub/health"


@pytest.mark.parametrize("network", [True, False], ids=["with a network", "without a network"])
def test_the_hub_is_back_after_the_reboot(network: bool) -> None:
    with Machine(Debian.BOOKWORM, image=installed_image(Debian.BOOKWORM).image) as machine:
        room = Preloaded(machine)
        room.prepare()
        room.add("bob")
        room.start("bob")
        kernel = room.start_kernel("bob")
        room.run("bob", kernel, "open('kept.txt', 'w').write('from Debian 12')")
        room.stop("bob")
        machine.execute("systemctl start appliance-next-python.service", timeout=900)
        machine.execute("test -e /opt/appliance/wheels/next-python.json")
        _become_trixie(machine)
        if not network:
            machine.execute("echo 'nameserver 127.0.0.9' >/etc/resolv.conf; sync")
        machine.allowed.errors += [".*"]
        machine.reboot()
        machine.wait_until(_WEB, timeout=900)
        assert machine.execute("cut -d. -f1 /etc/debian_version").strip() == "13"
        assert "3.13" in machine.execute("/opt/appliance/hub/bin/python --version")
        assert "3.13" in machine.execute("/opt/appliance/user/bin/python --version")
        room.start("bob")
        kernel = room.start_kernel("bob")
        said = room.run(
            "bob", kernel, "import sys; print(sys.version[:4], open('kept.txt').read())"
        )
        assert said.split(maxsplit=1)[0].startswith("3.13")
        assert "from Debian 12" in said
        assert machine.execute("systemctl list-units --failed --no-legend 'appliance*'") == ""
        room.stop("bob")


def _become_trixie(machine: Machine) -> None:
    machine.execute(
        "sed -i s/bookworm/trixie/g"
        " $(ls /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null)"
    )
    machine.execute(f"{_APT} update", timeout=300)
    machine.execute(f"{_APT} full-upgrade", timeout=2400)
    machine.execute(f"{_APT} autoremove", timeout=600)
