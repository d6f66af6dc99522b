"""Quotas of the file system, a home that is full, and classes that can't fill the disk.

Homes and classes' folders lie on disks of their own, which the appliance gives quotas.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.integration.classroom import Classroom, open_classroom, unit_of, wait_for
from tests.integration.images import Debian

pytestmark = pytest.mark.machine

MB: Final = 2**20
DISKS: Final = """
set -e
modprobe loop
modprobe quota_v2
for point in /home /srv/appliance; do
  image=/var/disk$(echo $point | tr / -)
  truncate -s 300M $image
  %(format)s $image
  device=$(losetup -f --show $image)
  mkdir -p $point
  echo "$device $point %(kind)s %(options)s 0 2" >>/etc/fstab
  mount $point
done
systemd-tmpfiles --create /etc/tmpfiles.d/appliance.conf
"""
EXT4: Final = {"kind": "ext4", "format": "mkfs.ext4 -q", "options": "defaults"}
XFS: Final = {"kind": "xfs", "format": "mkfs.xfs -q", "options": "defaults"}
NOTEBOOK: Final = {
    "type": "notebook", "format": "json",
    "content": {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5},
}  # fmt: skip


@dataclass
class Pupil:
    """A user with a server, by its API."""

    classroom: Classroom
    name: str
    token: str

    @property
    def home(self) -> str:
        return f"/home/nb-{self.name}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        url = f"http://127.0.0.1/user/{self.name}/{path}"
        said = self.classroom.machine.execute(
            f"curl -sS -X {method} -H 'Authorization: token {self.token}' -w '\\n%{{http_code}}'"
            f" {shlex.quote(url)} --data-binary @-",
            stdin=b"" if body is None else json.dumps(body).encode(),
            timeout=120,
        )
        text, _, status = said.rpartition("\n")
        return int(status), text

    def runs(self, line: str, groups: str = "") -> tuple[int, str]:
        """What a line of shell ends with, as the user's account; in the groups of a class."""
        also = f"--groups {groups}" if groups else "--clear-groups"
        account = f"nb-{self.name}"
        done = self.classroom.machine.attempt(
            f"setpriv --reuid {account} --regid {account} {also} sh -c {shlex.quote(line)} 2>&1",
            timeout=120,
        )
        return done.code, done.stdout

    def fill(self, folder: str, groups: str = "") -> str:
        """Write until no byte more goes in; why it ended."""
        lines = "\n".join(
            f"dd if=/dev/zero of={folder}/fill{size} bs={size} count=100000 2>&1 | head -1"
            for size in ("1M", "4k", "1k")
        )
        return self.runs(lines, groups)[1]

    def use(self) -> dict[str, Any]:
        said = self.classroom.machine.execute(f"appliance disk usage {self.name} --now --json")
        found: dict[str, Any] = json.loads(said)["users"][0]
        return found


def pupil(school: Classroom, name: str) -> Pupil:
    school.machine.execute(f"appliance user add {name}")
    token = school.machine.execute(f"appliance token add {name}").split()[-1]
    found = Pupil(school, name, token)
    school.start(name)
    return found


def prepare(school: Classroom, disks: dict[str, str]) -> None:
    machine = school.machine
    machine.execute(DISKS % disks, timeout=120)
    machine.execute("appliance disk prepare --yes", timeout=120)
    machine.execute("appliance config set disk.home 40M", timeout=90)
    machine.execute("appliance config set disk.class_folder 60M", timeout=90)
    found = json.loads(machine.execute("appliance disk status --json"))["file_systems"]
    rooms = {room["place"]: room["quota"] for room in found}
    assert set(rooms) >= {"/home", "/srv/appliance", "/"}
    assert rooms["/home"] in {"counted", "enforced"}


@pytest.fixture(scope="module")
def school() -> Iterator[Classroom]:
    with open_classroom(Debian.BOOKWORM, memory="2G") as school:
        prepare(school, EXT4)
        yield school


def test_a_full_home_opens_and_is_cleaned_up(school: Classroom) -> None:
    check_full_home(school, "bob")


def check_full_home(school: Classroom, name: str) -> None:
    bob = pupil(school, name)
    bob.classroom.machine.allowed.errors += [f"nb-{name}", "appliance-user"]
    limit = wait_for(bob.use, lambda use: bool(use["limit_bytes"]) and use["enforced"])
    assert limit["limit_bytes"] == 40 * MB
    assert limit["percent"] < 10
    school.stop_all()
    # As if the server had never been used: nothing that it keeps in the home is there.
    bob.runs(f"rm -rf {bob.home}/.ipython {bob.home}/.local {bob.home}/.jupyter")
    assert "Disk quota exceeded" in bob.fill(bob.home)
    status, said = bob.runs(f"head -c 9000 /dev/zero >{bob.home}/more")
    assert status != 0
    assert "Disk quota exceeded" in said
    school.start(name)
    assert bob.ask("GET", "lab")[0] == 200
    assert bob.ask("GET", "api/contents")[0] == 200
    for path, body in (
        ("api/contents/new.ipynb", NOTEBOOK),
        ("api/contents/new.txt", {"type": "file", "format": "text", "content": "x" * 9000}),
    ):
        status, said = bob.ask("PUT", path, body)
        assert status == 507, said
        assert "Your home is full" in said
    assert bob.ask("POST", "api/kernels", {"name": "python3"})[0] == 201
    full = bob.use()
    assert full["percent"] == 100
    assert bob.ask("DELETE", "api/contents/fill1M")[0] == 204
    assert bob.ask("PUT", "api/contents/new.ipynb", NOTEBOOK)[0] == 201
    assert bob.use()["percent"] < 50
    assert bob.runs(f"cat {bob.home}/new.ipynb")[0] == 0
    school.stop_all()


def test_its_owner_is_told_and_so_is_the_admin(school: Classroom) -> None:
    machine = school.machine
    eve = school.visitor("eve")
    eve.sign_up()
    school.start("eve")
    pupil_eve = Pupil(school, "eve", "")
    wait_for(pupil_eve.use, lambda use: use["enforced"])
    pupil_eve.fill(pupil_eve.home)
    assert pupil_eve.use()["percent"] == 100
    page = wait_for(
        lambda: eve.get("/hub/home").words, lambda words: "Nothing more can be saved" in words
    )
    assert "40 MB of 40 MB" in page
    finding = json.loads(machine.execute("cat /var/lib/appliance/health/disk.json"))
    assert finding["severity"] == "warning"
    assert "eve" in finding["why"]
    assert school.visitor("eve").log_in().status == 200
    school.stop_all()


@pytest.mark.long
def test_limits_of_groups_hold_soon_after_they_are_set(school: Classroom) -> None:
    machine = school.machine
    zoe = pupil(school, "zoe")
    wait_for(zoe.use, lambda use: use["enforced"] and use["limit_bytes"] == 40 * MB)
    machine.execute("appliance config set user_limits.zoe.disk 70M", timeout=90)
    wait_for(zoe.use, lambda use: use["limit_bytes"] == 70 * MB)
    assert zoe.runs(f"fallocate -l 60M {zoe.home}/big")[0] == 0
    machine.execute("appliance config unset user_limits.zoe", timeout=90)
    status, said = school.api("POST", "groups/largefiles")
    assert status == 201, said
    assert school.api("POST", "groups/largefiles/users", {"users": ["zoe"]})[0] == 200
    machine.execute("appliance config set group_limits.largefiles.disk 90M", timeout=90)
    wait_for(zoe.use, lambda use: use["limit_bytes"] == 90 * MB)
    assert zoe.runs(f"fallocate -l 80M {zoe.home}/big")[0] == 0
    machine.execute("appliance config unset group_limits", timeout=90)
    school.stop_all()


def test_a_class_cannot_fill_the_disk(school: Classroom) -> None:
    machine = school.machine
    amy, ben = pupil(school, "amy"), pupil(school, "ben")
    machine.execute("appliance class add Physics")
    assert school.api("POST", "groups/physics/users", {"users": ["amy", "ben"]})[0] == 200
    machine.execute("appliance class teacher physics tess")
    school.stop_all()
    together = "/srv/appliance/classes/physics/together"
    group = wait_for(
        lambda: machine.attempt("getent group nbc-physics | cut -d: -f3").stdout.strip(), bool
    )
    wait_for(lambda: _project(school), lambda use: use["enforced"])
    # Nobody more than a home may hold, and all together no more than the class.
    assert "Disk quota exceeded" in amy.fill(f"{together}", group)
    ben.runs(f"mkdir {together}/ben && dd if=/dev/zero of={together}/ben/fill bs=1M", group)
    assert _project(school)["percent"] == 100
    taken = int(machine.execute(f"du -sk {together} | cut -f1"))
    assert 50_000 < taken <= 60 * 1024
    # Homes are on another disk and have their room.
    assert amy.runs(f"fallocate -l 20M {amy.home}/own")[0] == 0


def _project(school: Classroom) -> dict[str, Any]:
    said = json.loads(school.machine.execute("appliance disk usage --now --json"))
    return next((one for one in said["classes"] if one["name"] == "physics"), {"enforced": False})


def test_a_hand_out_to_a_full_home_says_so(school: Classroom) -> None:
    machine = school.machine
    amy = Pupil(school, "amy", "")
    machine.execute(
        "rm -rf /srv/appliance/classes/physics/together/*;"
        " install -d -m 755 /srv/appliance/classes/physics/shared/lab &&"
        " head -c 300000 /dev/urandom >/srv/appliance/classes/physics/shared/lab/data &&"
        " chmod 644 /srv/appliance/classes/physics/shared/lab/data"
    )
    amy.fill(amy.home)
    said = machine.attempt("appliance class hand-out physics lab --json", timeout=120).stdout
    people = json.loads(said)["people"]
    assert people["amy"]["state"] == "failed", people
    assert "the home is full" in people["amy"]["why"]
    assert people["ben"]["state"] == "done", people
    # Nothing half is left, and with room it goes.
    amy.runs(f"rm {amy.home}/fill*")
    again = machine.attempt("appliance class hand-out physics lab --json", timeout=120).stdout
    assert json.loads(again)["people"]["amy"]["state"] == "done"


def test_root_is_where_the_daemon_is_not(school: Classroom) -> None:
    """The power that quotas need is in units that nobody talks to."""
    show = "systemctl show -P CapabilityBoundingSet"
    assert "cap_sys_admin" not in school.machine.execute(f"{show} appliance-spawner.service")
    assert "cap_sys_admin" in school.machine.execute(f"{show} appliance-quota.service")
    assert unit_of("amy") not in school.units()


@pytest.mark.long
def test_xfs_by_user_and_project() -> None:
    with open_classroom(Debian.TRIXIE, memory="2G") as school:
        school.machine.execute("apt-get update -qq && apt-get install -y -qq xfsprogs", timeout=300)
        prepare(school, {**XFS, "format": "truncate -s 400M $image; mkfs.xfs -q"})
        check_full_home(school, "bob")
        test_a_class_cannot_fill_the_disk(school)


@pytest.mark.long
def test_the_root_gets_quotas_while_it_is_in_use() -> None:
    with open_classroom(Debian.BOOKWORM, memory="2G") as school:
        machine = school.machine
        # The name by which Linux without an initial ramdisk calls it.
        machine.execute("ln -s ubda /dev/root; modprobe quota_v2")
        machine.execute("appliance disk prepare --yes", timeout=600)
        machine.execute("appliance config set disk.home 40M", timeout=90)
        check_full_home(school, "bob")
        # As well where a server may write besides.
        bob = Pupil(school, "bob", "")
        bob.fill(bob.home)
        assert bob.runs("head -c 9000 /dev/zero >/var/tmp/bobs")[0] != 0
