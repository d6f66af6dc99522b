"""Notices reach people by mail and by a webhook: of each thing that they are promised for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.fakes.certificates import Authority
from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native

pytestmark = [pytest.mark.machine, pytest.mark.long]

POST: Final = "/run/post"
SETTINGS: Final = """\
mail:
  host: 127.0.0.1
  port: 2525
  security: none
  sender: hub@school.test
  site: http://appliance
notices:
  mail: [ada@school.test]
  webhook: http://127.0.0.1:2580/hooks/secret
updates:
  check: false
  next_python: false
"""
# Rounds follow each other here faster than systemd lets a unit begin.
FREELY: Final = (
    "systemctl reset-failed appliance-disk.service appliance-quota.service"
    " appliance-upkeep.service;"
)
MEASURE: Final = f"{FREELY} systemctl start appliance-disk.service"
SIGN_UP: Final = (
    "cd /root; rm -f jar; xsrf=$(curl -sS -c jar http://127.0.0.1/hub/signup"
    ' | sed -n \'s/.*name="_xsrf" value="\\([^"]*\\)".*/\\1/p\' | head -1);'
    " curl -sS -b jar -c jar --data-urlencode _xsrf=$xsrf --data username=wanda"
    " --data-urlencode 'password=violet lantern seventeen' http://127.0.0.1/hub/signup"
)


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        machine = room.machine
        machine.execute("systemctl stop appliance-upkeep.timer")
        machine.execute(
            f"setsid /usr/bin/python3 /opt/inside/post.py {POST} >/dev/null 2>&1 </dev/null &"
        )
        machine.write_file("/etc/appliance/config.yaml", SETTINGS, mode=0o600)
        machine.execute("appliance config reload", timeout=90)
        # What is wrong with machines on this host.
        told(room)
        yield room


def told(room: Preloaded) -> dict[str, list[dict[str, Any]]]:
    """What came by each way since this was last asked for, after a round of the upkeep."""
    room.machine.execute(
        f"{FREELY} : >{POST}; systemctl start appliance-upkeep.service", timeout=60
    )
    found: dict[str, list[dict[str, Any]]] = {"mail": [], "webhook": []}
    for line in room.machine.read_file(POST).splitlines():
        way, said = json.loads(line)
        found[way].append(said)
    return found


def topics(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    """Each thing that the webhook was told of, with what became of it."""
    return {
        item["topic"]: item["state"]
        for said in found["webhook"]
        for item in said["appliance"]["items"]
    }


def test_of_sign_ups_that_wait(room: Preloaded) -> None:
    room.machine.execute(SIGN_UP)
    assert "wanda" in room.machine.execute("appliance user list --waiting")
    found = told(room)
    (letter,) = found["mail"]
    assert letter["to"] == "ada@school.test"
    assert letter["subject"] == "[appliance] 1 person waits to be let in"
    assert "sudo appliance user list --waiting" in letter["text"]
    assert topics(found) == {"waiting": "waiting"}
    assert told(room) == {"mail": [], "webhook": []}, "twice"
    room.machine.execute("appliance user approve wanda")


def test_of_a_backup_that_failed(room: Preloaded) -> None:
    machine = room.machine
    machine.allowed.errors.append("appliance-backup|backup failed|cannot back up")
    machine.allowed.failed_units.append("appliance-backup.service")
    machine.execute("appliance config set backup.must_be_mount true", timeout=90)
    machine.attempt("systemctl start appliance-backup.service", timeout=60)
    found = told(room)
    assert topics(found) == {"backup": "worse"}
    (letter,) = found["mail"]
    assert "the last backup failed" in letter["subject"]
    machine.execute("appliance config set backup.must_be_mount false", timeout=90)
    machine.execute("systemctl start appliance-backup.service", timeout=60)
    # Well for two rounds, lest what comes and goes be told each time.
    assert topics(told(room)) == {}
    assert topics(told(room)) == {"backup": "mended"}


def test_of_a_disk_that_is_full(room: Preloaded) -> None:
    machine = room.machine
    machine.execute(
        "mount -t tmpfs -o size=20M tmpfs /srv/appliance;"
        f" fallocate -l 20M /srv/appliance/most; {MEASURE}"
    )
    found = told(room)
    machine.execute(f"umount /srv/appliance; {MEASURE}")
    assert topics(found) == {"disk": "worse"}
    (letter,) = found["mail"]
    assert "is full" in letter["subject"]
    assert "sudo appliance disk usage" in letter["text"]
    assert topics(told(room)) == {}
    assert topics(told(room)) == {"disk": "mended"}


def test_of_homes_that_are_only_measured(room: Preloaded) -> None:
    """The file system of this machine has no quotas."""
    machine = room.machine
    machine.execute("appliance user add hoarder; appliance server start hoarder", timeout=90)
    room.stop_all()
    machine.execute("appliance config set disk.home 20M", timeout=90)
    usage = "appliance disk usage hoarder --now --json"
    (before,) = json.loads(machine.execute(usage))["users"]
    assert (before["limit_bytes"], before["enforced"]) == (20 * 2**20, False)
    assert before["percent"] < 50
    machine.execute("runuser -u nb-hoarder -- fallocate -l 21M /home/nb-hoarder/most")
    (after,) = json.loads(machine.execute(usage))["users"]
    assert after["percent"] >= 100
    machine.execute(MEASURE, timeout=60)
    found = told(room)
    assert topics(found) == {"disk": "worse"}
    (letter,) = found["mail"]
    assert "the home of hoarder" in letter["text"]
    # And nobody is kept out.
    machine.execute("appliance server start hoarder", timeout=90)
    room.stop_all()


def test_of_a_certificate_that_ends_at_each_step(room: Preloaded) -> None:
    machine, authority = room.machine, Authority()
    for days, step in ((29, 30), (13, 14), (2, 3)):
        made = authority.issue(["appliance"], days=days + 1)
        machine.write_file("/root/hub.crt", made.pem)
        machine.write_file("/root/hub.key", made.key_pem(), mode=0o600)
        machine.execute(
            "appliance https files --certificate /root/hub.crt --key /root/hub.key", timeout=60
        )
        found = told(room)
        assert topics(found).get("certificate") == "worse", (step, found)
        finding = json.loads(machine.read_file("/var/lib/appliance/health/certificate.json"))
        assert finding["details"]["step"] == step
        assert any("certificate" in letter["subject"] for letter in found["mail"])
