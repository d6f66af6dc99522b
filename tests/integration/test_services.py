"""Services that the appliance runs, on a real systemd: the idle culler, and one with pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.integration.images import Debian
from tests.integration.installed import CHECKOUT, installed_image
from tests.integration.machine import Machine

pytestmark = pytest.mark.machine

PACKAGES = "jupyterhub-idle-culler==2.0.0 jupyterhub==6.1.1"
SETTINGS = """\
services:
  culler:
    command: [python3, -m, jupyterhub_idle_culler, --timeout=3600, --cull-every=2]
  who:
    url: http://127.0.0.1:9001
    command: [python3, /srv/who.py, "$THEIR_KEY", "${THEIR_KEY} %n"]
    environment: {THEIR_KEY: not-for-everybody}
    memory: 300M
roles:
  cullers:
    scopes: [list:users, "read:users:activity", "read:servers", "delete:servers"]
    services: [culler]
"""
NOBODY = "setpriv --reuid nobody --regid nogroup --clear-groups"
CULLER = "appliance-service-culler.service"
WHO = "appliance-service-who.service"


class Room:
    """A machine with two services."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def show(self, unit: str, name: str) -> str:
        return self.machine.execute(f"systemctl show -p {name} --value {unit}").strip()

    def wait_for_pid(self, unit: str, *, other_than: str = "0") -> str:
        """The process of a unit, once it has one that isn't the one before."""
        for _ in range(120):
            pid = self.show(unit, "MainPID")
            if pid not in {"0", other_than} and self.show(unit, "ActiveState") == "active":
                return pid
            time.sleep(0.5)
        raise AssertionError(self.machine.journal(unit))

    def states(self) -> dict[str, str]:
        status = json.loads(self.machine.execute("appliance status --json"))
        return {one["name"]: one["state"] for one in status["services"]}

    def wait_for_page(self) -> None:
        """who asks for a log-in, so it is up and knows the way."""
        self.machine.wait_until(
            "curl -sSo /dev/null -w '%{redirect_url}' http://127.0.0.1/services/who/"
            " | grep -q 'oauth2/authorize?client_id=service-who'"
        )


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    installed = installed_image(Debian.BOOKWORM)
    with Machine(Debian.BOOKWORM, image=installed.image) as machine:
        machine.execute(
            "/opt/appliance/bin/uv-* pip install -q --system-certs"
            f" --python /opt/appliance/user/bin/python {PACKAGES}",
            timeout=180,
        )
        program = CHECKOUT / "tests/peers/programs/tornado_service.py"
        machine.write_file("/srv/who.py", program.read_text())
        machine.write_file("/etc/appliance/config.yaml", SETTINGS, mode=0o600)
        machine.execute("appliance config reload", timeout=60)
        yield Room(machine)
        machine.execute(
            "appliance config unset services.culler && appliance config unset services.who;"
            " appliance config unset services.broken; true",
            timeout=120,
        )


def test_they_run_confined_and_know_the_hub(room: Room) -> None:
    machine = room.machine
    for unit in (CULLER, WHO):
        room.wait_for_pid(unit)
    room.wait_for_page()
    assert room.states() == {"culler": "running", "who": "running"}
    assert room.show(CULLER, "User") == "svc-culler"
    assert room.show(WHO, "User") == "svc-who"
    assert room.show(WHO, "MemoryMax") == str(300 * 2**20)
    assert room.show(WHO, "Restart") == "always"
    assert room.show(WHO, "NoNewPrivileges") == "yes"
    assert machine.execute("stat -c '%U %a' /var/lib/appliance/services/who") == "svc-who 700\n"
    # The command is run as it is written: what is in the environment stays there.
    words = machine.execute(f"tr '\\0' '|' < /proc/{room.show(WHO, 'MainPID')}/cmdline")
    assert words.endswith("/srv/who.py|$THEIR_KEY|${THEIR_KEY} %n|")
    # The culler has asked the hub, and was not refused.
    machine.wait_until("appliance logs culler | grep -q .")
    assert "403" not in machine.execute("appliance logs culler")
    assert "who" in machine.execute("appliance status")


def test_nobody_else_sees_their_secrets(room: Room) -> None:
    machine = room.machine
    pid = room.wait_for_pid(WHO)
    token = machine.execute(
        f"tr '\\0' '\\n' </proc/{pid}/environ | sed -n s/^JUPYTERHUB_API_TOKEN=//p"
    ).strip()
    assert len(token) == 64
    for secret in (token, "not-for-everybody"):
        machine.fail(f"{NOBODY} systemctl show {WHO} | grep -q {secret}")
        machine.fail(f"systemctl show {WHO} | grep -q {secret}")
        machine.fail(f"{NOBODY} ps axeww | grep -q '{secret[:-1]}[{secret[-1]}]'")
        machine.fail(f"grep -rqs {secret} /var/lib/appliance/rendered/nginx.conf /run/systemd")
    for path in (
        f"/proc/{pid}/environ", "/run/appliance/service-env/who.env",
        "/var/lib/appliance/rendered/spawner.json", "/var/lib/appliance/services/who/.",
    ):  # fmt: skip
        machine.fail(f"{NOBODY} ls {path}/* {path} && {NOBODY} cat {path}")
    machine.fail(f"setpriv --reuid svc-culler --clear-groups cat /proc/{pid}/environ")


def test_one_that_is_killed_comes_back_and_a_restart_of_the_hub_is_not_noticed(room: Room) -> None:
    culler, who = room.wait_for_pid(CULLER), room.wait_for_pid(WHO)
    room.machine.execute("systemctl restart appliance-hub appliance-spawner", timeout=60)
    time.sleep(3)
    assert (room.wait_for_pid(CULLER), room.wait_for_pid(WHO)) == (culler, who)
    room.machine.execute(f"kill -KILL {who}")
    room.wait_for_pid(WHO, other_than=who)
    room.wait_for_page()
    assert room.wait_for_pid(CULLER) == culler


def test_they_are_there_again_after_a_reboot(room: Room) -> None:
    room.machine.reboot()
    for unit in (CULLER, WHO):
        room.wait_for_pid(unit)
    room.wait_for_page()
    assert "403" not in room.machine.execute("appliance logs culler -n 5")
    assert room.show(CULLER, "User") == "svc-culler"


def test_settings_take_effect(room: Room) -> None:
    machine = room.machine
    culler, who = room.wait_for_pid(CULLER), room.wait_for_pid(WHO)
    machine.execute("appliance config set services.who.environment THEIR_KEY=another", timeout=60)
    new = room.wait_for_pid(WHO, other_than=who)
    machine.wait_until(f"tr '\\0' '\\n' </proc/{new}/environ | grep -qx THEIR_KEY=another")
    assert room.wait_for_pid(CULLER) == culler
    machine.execute("appliance config set services.broken.command '[no-such-program]'", timeout=60)
    machine.wait_until(
        "appliance status | grep -q \"broken: there is no program 'no-such-program'\""
    )
    machine.execute("appliance config unset services.broken", timeout=60)
    machine.execute("appliance config unset services.who", timeout=60)
    machine.wait_until(f"! systemctl list-units --all --plain --no-legend '{WHO}' | grep -q .")
    assert room.states() == {"culler": "running"}
    machine.fail("test -e /run/appliance/service-env/who.env")
    gone = machine.execute(
        "curl -sSo /dev/null -w '%{http_code} %{redirect_url}' http://127.0.0.1/services/who/"
    )
    assert "oauth2" not in gone
    # What it wrote is kept, for its account has not been given to anybody else.
    assert machine.execute("stat -c %U /var/lib/appliance/services/who") == "svc-who\n"
