"""The test machine itself: it boots, obeys, reboots, loses power, serves and is seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.browser import chromium
from tests.integration.images import Debian, base_image
from tests.integration.machine import Machine, MachineError
from tests.integration.nspawn import NativeMachine, why_not
from tests.integration.ssh import CommandError

pytestmark = pytest.mark.machine


@pytest.fixture(
    scope="module",
    params=[Debian.BOOKWORM, pytest.param(Debian.TRIXIE, marks=pytest.mark.long)],
)
def shared(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """One machine for all tests that leave it as it was."""
    with Machine(request.param) as machine:
        yield machine


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


def test_machine_has_the_memory_and_cgroups_of_a_small_server(shared: Machine) -> None:
    kilobytes = int(shared.execute("awk '/MemTotal/ {print $2}' /proc/meminfo"))
    assert 900_000 < kilobytes < 1_100_000
    assert "memory" in shared.read_file("/sys/fs/cgroup/cgroup.controllers").split()


def test_failing_command_raises_with_both_streams(shared: Machine) -> None:
    with pytest.raises(CommandError, match=r"(?s)to stdout.*to stderr"):
        shared.execute("echo to stdout; echo to stderr >&2; exit 3")
    with pytest.raises(CommandError, match="not done after 1 s"):
        shared.execute("sleep 60", timeout=1)


def test_machine_fetches_from_the_host(shared: Machine, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("print(6 * 7)")
    url = shared.serve(tmp_path)
    assert shared.execute(f"curl -fsS {url}/hello.py | sudo python3 -") == "42\n"


def test_machine_reaches_the_package_registries(shared: Machine) -> None:
    shared.execute("apt-get update", timeout=300)
    shared.execute("apt-get install -y --no-install-recommends python3-venv", timeout=300)
    shared.execute("python3 -m venv /tmp/venv", timeout=300)
    shared.execute("/tmp/venv/bin/pip download --no-deps --dest /tmp six", timeout=300)


def test_chromium_sees_the_machine(shared: Machine) -> None:
    shared.write_file("/srv/index.html", "<title>Inside</title><h1>Hello from inside</h1>")
    shared.execute("systemd-run python3 -m http.server --directory /srv 80")
    shared.wait_until("curl -fsS http://localhost/")
    with chromium(shared.http_base) as browser, browser.visit() as visitor:
        visitor.page.goto("/")
        assert visitor.page.title() == "Inside"
        assert visitor.screenshot("inside").stat().st_size > 1000


def test_unwell_machine_fails_its_test(shared: Machine) -> None:
    unit = "systemd-run --unit=appliance-broken.service --property=SyslogLevel=err"
    shared.fail(f"{unit} --wait sh -c 'echo out of luck; exit 1'")
    with pytest.raises(MachineError, match=r"(?s)failed unit: appliance-broken.*out of luck"):
        shared.check()
    shared.allowed.failed_units.append("appliance-broken")
    shared.allowed.errors.append("out of luck|appliance-broken")
    shared.check()


def test_the_end_of_a_native_machine_changes_nothing_in_another() -> None:
    image = base_image(Debian.BOOKWORM)
    if why := why_not(image):
        pytest.skip(why)
    with NativeMachine(image) as one:
        before = one.execute("cat /proc/1/mountinfo")
        with NativeMachine(image) as another:
            assert another.execute("hostname") == one.execute("hostname") == "appliance\n"
        assert one.execute("cat /proc/1/mountinfo") == before
