"""Bad luck before and during the install: a port that is taken, and power that goes away."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.images import Debian
from tests.integration.installed import CHECKOUT, Installed, Release, make_release
from tests.integration.machine import Machine
from tests.integration.ssh import CommandError
from tests.integration.visitor import Visitor

pytestmark = [pytest.mark.machine, pytest.mark.timeout(1200)]

LOG = "/var/log/appliance-install.log"
# Logs and caches aside, every file with its size and times.
FILES = (
    (
        "find / -xdev ( -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log/journal"
        " -o -path /var/cache/apt -o -path /root ) -prune -o -printf '%p %s %T@\\n' | sort"
    )
    .replace("(", r"\(")
    .replace(")", r"\)")
)


@pytest.mark.parametrize("debian", [Debian.BOOKWORM])
def test_install_with_bad_luck(fresh_machine: Machine, tmp_path: Path) -> None:
    machine, release = fresh_machine, make_release(CHECKOUT, tmp_path)
    _all_that_is_in_the_way_is_told_before_anything_changes(machine, release)
    _somebody_installs_something(machine)
    _power_goes_away(machine, release, "waiting for python3", "Unpacking nginx")
    _power_goes_away(machine, release, "pip install .*environments/user-")
    output = release.install(machine)
    link = Installed(release.wheel, release, output).setup_link(machine.http_base)
    page = Visitor(machine.http_base, "ada").get(link.removeprefix(machine.http_base))
    assert page.status == 200
    assert "New password" in page.words
    machine.execute("appliance user add bob --generate && appliance server start bob", timeout=90)
    machine.execute("appliance server stop bob && dpkg --audit")
    assert machine.execute("dpkg --audit") == ""
    # Once more: nothing is left to heal, and nobody notices.
    started = machine.execute("systemctl show --value -p MainPID appliance-hub appliance-proxy")
    release.install(machine)
    assert started == machine.execute(
        "systemctl show --value -p MainPID appliance-hub appliance-proxy"
    )


def _all_that_is_in_the_way_is_told_before_anything_changes(
    machine: Machine, release: Release
) -> None:
    machine.execute(
        "systemd-run --unit=old-website --property=WorkingDirectory=/srv python3 -m http.server 80"
    )
    machine.wait_until("curl -fsS http://localhost/")
    machine.execute("date -s 2021-03-04")
    before = machine.execute(FILES)
    with pytest.raises(CommandError) as refused:
        release.install(machine)
    said = str(refused.value)
    assert "port 80 is taken by python3 (old-website.service), process" in said
    assert "systemctl disable --now old-website.service" in said
    assert "the clock says 2021-03-04" in said
    assert "2 problems found; nothing was changed." in said
    assert machine.execute(FILES) == before
    machine.fail(f"test -e {LOG} -o -e /opt/appliance -o -e /etc/appliance")
    machine.execute(f"systemctl stop old-website; date -s @{time.time():.0f}")


# Holds the lock of apt and dpkg until somebody says that he waits, and a moment longer.
HOLDER = f"""\
import fcntl, pathlib, time
log = pathlib.Path("{LOG}")
with open("/var/lib/dpkg/lock-frontend", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    while not log.exists() or b"waiting for" not in log.read_bytes():
        time.sleep(0.5)
    time.sleep(3)
"""


def _somebody_installs_something(machine: Machine) -> None:
    machine.write_file("/root/holder.py", HOLDER)
    machine.execute("systemd-run --unit=holder python3 /root/holder.py")


def _power_goes_away(machine: Machine, release: Release, *lines: str) -> None:
    """Install until the log has each of the lines, and a moment longer."""
    with ThreadPoolExecutor(1) as pool:
        install = pool.submit(release.install, machine)
        for line in lines:
            while machine.attempt(f"grep -qE '{line}' {LOG}").code != 0:
                assert not install.done(), install.result()
                time.sleep(0.2)
        time.sleep(1)
        assert not install.done(), install.result()
        machine.cut_power()
        with pytest.raises(CommandError):
            install.result()
    machine.boot()
