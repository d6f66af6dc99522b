"""The test machine itself: it boots, obeys, reboots, loses power, serves and is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.browser import chromium
from tests.integration.machine import Machine, MachineError
from tests.integration.ssh import CommandError

pytestmark = pytest.mark.machine


def test_machine_lives_through_reboot_and_power_cut(fresh_machine: Machine) -> None:
    machine = fresh_machine
    assert machine.debian in machine.read_file("/etc/os-release")
    machine.write_file("/root/kept", "written and flushed")
    machine.execute("sync /root/kept")
    machine.reboot()
    assert machine.read_file("/root/kept") == "written and flushed"
    machine.write_file("/root/lost", "never flushed")
    machine.cut_power()
    machine.boot()
    assert machine.read_file("/root/kept") == "written and flushed"
    machine.fail("test -s /root/lost")


def test_machine_has_the_memory_and_cgroups_of_a_small_server(fresh_machine: Machine) -> None:
    kilobytes = int(fresh_machine.execute("awk '/MemTotal/ {print $2}' /proc/meminfo"))
    assert 900_000 < kilobytes < 1_100_000
    assert "memory" in fresh_machine.read_file("/sys/fs/cgroup/cgroup.controllers").split()


def test_failing_command_raises_with_both_streams(fresh_machine: Machine) -> None:
    with pytest.raises(CommandError, match=r"(?s)to stdout.*to stderr"):
        fresh_machine.execute("echo to stdout; echo to stderr >&2; exit 3")
    with pytest.raises(CommandError, match="not done after 1 s"):
        fresh_machine.execute("sleep 60", timeout=1)


def test_machine_fetches_from_the_host(fresh_machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print(6 * 7)")
    url = fresh_machine.serve(tmp_path)
    assert fresh_machine.execute(f"curl -fsS {url}/hello.py | sudo python3 -") == "42\n"


def test_machine_reaches_the_package_registries(fresh_machine: Machine) -> None:
    fresh_machine.execute("apt-get update", timeout=300)
    fresh_machine.execute("apt-get install -y --no-install-recommends python3-venv", timeout=300)
    fresh_machine.execute("python3 -m venv /tmp/venv", timeout=300)
    fresh_machine.execute("/tmp/venv/bin/pip download --no-deps --dest /tmp six", timeout=300)


def test_chromium_sees_the_machine(fresh_machine: Machine) -> None:
    fresh_machine.write_file("/srv/index.html", "<title>Inside</title><h1>Hello from inside</h1>")
    fresh_machine.execute("systemd-run python3 -m http.server --directory /srv 80")
    fresh_machine.wait_until("curl -fsS http://localhost/")
    with chromium(fresh_machine.http_base) as browser, browser.visit() as visitor:
        visitor.page.goto("/")
        assert visitor.page.title() == "Inside"
        assert visitor.screenshot("inside").stat().st_size > 1000


def test_unwell_machine_fails_its_test(fresh_machine: Machine) -> None:
    unit = "systemd-run --unit=appliance-broken.service --property=SyslogLevel=err"
    fresh_machine.fail(f"{unit} --wait sh -c 'echo out of luck; exit 1'")
    with pytest.raises(MachineError, match=r"(?s)failed unit: appliance-broken.*out of luck"):
        fresh_machine.check()
    fresh_machine.allowed.failed_units.append("appliance-broken")
    fresh_machine.allowed.errors.append("out of luck|appliance-broken")
    fresh_machine.check()
