"""Upgrades of a whole machine: to a newer release, from a broken one, back, and off the machine.

One machine serves the whole file, and has no network. The long tests are in order, too, and need
none of the others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.images import Debian
from tests.integration.preloaded import Preloaded, open_native
from tests.integration.releases import (
    release,
    whose_hub_does_not_answer,
    whose_hub_ends_after_migrating,
    whose_migration_fails,
    with_a_migration,
)
from tests.integration.ssh import Result

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

_COUNTER = """
import time
for number in range(10**6):
    open("count.new", "w").write(str(number))
    __import__("os").replace("count.new", "count")
    time.sleep(0.1)
"""
_SECONDS = 200
_TABLES = """\
import sqlite3
with sqlite3.connect("file:/var/lib/appliance/hub/hub.sqlite?mode=ro", uri=True) as db:
    found = "SELECT name FROM sqlite_master WHERE name LIKE 'more%'"
    print(*[name for (name,) in db.execute(found)])
"""


@pytest.fixture(scope="module")
def room() -> Iterator[Preloaded]:
    with open_native(Debian.BOOKWORM) as room:
        # What the installer looks for; on this kernel limits aren't what is tried.
        room.machine.execute(
            "echo cpu memory pids >/run/controllers;"
            " mount --bind /run/controllers /sys/fs/cgroup/cgroup.controllers"
        )
        room.machine.wait_until("curl -fsS http://127.0.0.1/hub/health")
        room.add("bob")
        room.start("bob")
        yield room


@pytest.fixture(scope="module")
def server(room: Preloaded) -> int:
    kernel = room.start_kernel("bob")
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_COUNTER!r}])"
    room.run("bob", kernel, code)
    room.machine.wait_until("test -s /home/nb-bob/count")
    return room.main_pid("appliance-user-bob.service")


def _put(room: Preloaded, wheel: Path) -> str:
    place = f"/root/{wheel.name}"
    room.machine.write_file(place, wheel.read_bytes())
    return place


def _upgrade(room: Preloaded, wheel: Path) -> Result:
    return room.machine.attempt(
        f"appliance upgrade --yes --source {_put(room, wheel)} 2>&1", timeout=_SECONDS
    )


def _version(room: Preloaded) -> str:
    """The one that answers through the proxy, and the one of the command line."""
    said = room.machine.execute("curl -sSI http://127.0.0.1/hub/health; echo; appliance version")
    header = next(line for line in said.splitlines() if line.lower().startswith("x-appliance-ver"))
    assert header.split()[1] == said.split()[-1]
    return said.split()[-1]


def _users(room: Preloaded) -> set[str]:
    return {user["name"] for user in json.loads(room.machine.execute("appliance user list --json"))}


def _further_tables(room: Preloaded) -> list[str]:
    """Those that releases that don't exist added to the database."""
    return room.machine.execute("python3 -", stdin=_TABLES).split()


def _count(room: Preloaded) -> int:
    return int(room.machine.read_file("/home/nb-bob/count") or 0)


def _goes_on(room: Preloaded, server: int) -> None:
    """bob's server is the same process, and what runs below it counts."""
    assert room.main_pid("appliance-user-bob.service") == server
    before = _count(room)
    room.machine.wait_until(f"test $(cat /home/nb-bob/count || echo 0) -gt {before}")
    assert room.machine.execute("systemctl list-units --failed --no-legend 'appliance*'") == ""


def test_dry_run_says_what_would_happen_and_changes_nothing(
    room: Preloaded, server: int, tmp_path: Path
) -> None:
    wheel = _put(room, release("7.1.0", tmp_path, with_a_migration))
    before = room.machine.execute("find /opt/appliance /etc/appliance | sort | sha256sum")
    said = json.loads(room.machine.execute(f"appliance upgrade --dry-run --json --source {wheel}"))
    assert said["to"] == "7.1.0"
    assert said["schema"]["migrates"]
    assert "appliance-hub.service" in said["restarts"]
    assert room.machine.execute("find /opt/appliance /etc/appliance | sort | sha256sum") == before
    _goes_on(room, server)


@pytest.mark.long
def test_the_channel_and_the_pin_say_what_counts_as_a_release(
    room: Preloaded, tmp_path: Path
) -> None:
    for version in ("6.0.1", "6.1.0", "6.2.0b1"):
        wheel = release(version, tmp_path)
        room.machine.write_file(f"/srv/releases/{wheel.name}", wheel.read_bytes())
    room.machine.execute("appliance config set updates.source /srv/releases", timeout=60)
    asked = {"": "6.1.0", "updates.channel beta": "6.2.0b1", "updates.pin 6.0": "6.0.1"}
    for setting, newest in asked.items():
        if setting:
            room.machine.execute(f"appliance config set {setting}", timeout=60)
        said = json.loads(room.machine.execute("appliance upgrade --check --json"))
        assert (said["newest"], said["newer"]) == (newest, True), setting
    # What is upgraded to is the same.
    said = json.loads(room.machine.execute("appliance upgrade --dry-run --json"))
    assert said["to"] == "6.0.1"
    room.machine.execute("appliance config unset updates", timeout=60)


@pytest.mark.long
def test_a_release_whose_migration_fails_is_seen_before_anything_is_switched(
    room: Preloaded, server: int, tmp_path: Path
) -> None:
    hub, version = room.main_pid("appliance-hub.service"), _version(room)
    refused = _upgrade(room, release("7.1.1", tmp_path, whose_migration_fails))
    assert refused.code == 1
    assert "migrate" in refused.stdout, refused.describe()
    assert room.main_pid("appliance-hub.service") == hub
    assert _version(room) == version
    _goes_on(room, server)


def test_to_a_newer_release_with_a_migration(room: Preloaded, server: int, tmp_path: Path) -> None:
    done = _upgrade(room, release("7.2.0", tmp_path, with_a_migration))
    assert done.code == 0, done.describe()
    assert _version(room) == "7.2.0"
    assert len(_further_tables(room)) == 1
    assert "bob" in _users(room)
    _goes_on(room, server)
    # A kernel that began before answers as ever, and what starts now starts.
    room.add("carol")
    room.start("carol")
    room.stop("carol")


def test_a_release_that_does_not_work_is_gone_back_from(
    room: Preloaded, server: int, tmp_path: Path
) -> None:
    broken = release(
        "7.3.0", tmp_path, with_a_migration, with_a_migration, whose_hub_ends_after_migrating
    )
    room.machine.allowed.errors += [r"appliance-hub\.service"]
    refused = _upgrade(room, broken)
    assert refused.code == 1
    assert "7.2.0 is in force again" in refused.stdout, refused.describe()
    assert _version(room) == "7.2.0"
    assert len(_further_tables(room)) == 1
    assert {"bob", "carol"} <= _users(room)
    room.machine.execute(
        'runuser -u appliance-hub -- true; python3 -c "import sqlite3;'
        " print(sqlite3.connect('/var/lib/appliance/hub/hub.sqlite')"
        ".execute('PRAGMA integrity_check').fetchone())\" | grep ok"
    )
    _goes_on(room, server)


@pytest.mark.long
def test_a_release_whose_hub_runs_and_does_not_answer_is_gone_back_from(
    room: Preloaded, server: int, tmp_path: Path
) -> None:
    version = _version(room)
    refused = _upgrade(room, release("7.3.1", tmp_path, whose_hub_does_not_answer))
    assert refused.code == 1
    assert f"{version} is in force again" in refused.stdout, refused.describe()
    assert "cannot reach the hub through the proxy" in refused.stdout
    assert _version(room) == version
    _goes_on(room, server)


@pytest.mark.long
def test_an_installer_that_was_killed_is_gone_back_from_by_the_upkeep(
    room: Preloaded, server: int, tmp_path: Path
) -> None:
    """The folder of the point is all that tells; here it is put back to where it was meanwhile."""
    machine, version = room.machine, _version(room)
    done = _upgrade(room, release("7.4.0", tmp_path, with_a_migration, with_a_migration))
    assert done.code == 0, done.describe()
    room.add("fred")
    machine.execute("mv /var/lib/appliance/upgrade/previous /var/lib/appliance/upgrade/under-way")
    machine.execute("systemctl start appliance-back.service", timeout=_SECONDS)
    assert _version(room) == version
    assert "bob" in _users(room)
    assert "fred" not in _users(room), "he came after the database of the release before"
    machine.execute("ls /var/lib/appliance/hub/hub.sqlite.of-7.4.0")
    _goes_on(room, server)


@pytest.mark.long
def test_back_by_hand_tells_what_is_lost(room: Preloaded, server: int, tmp_path: Path) -> None:
    version = _version(room)
    done = _upgrade(room, release("7.5.0", tmp_path, with_a_migration, with_a_migration))
    assert done.code == 0, done.describe()
    room.add("dora")
    asked = room.machine.attempt("appliance upgrade --rollback </dev/null")
    assert asked.code == 2
    assert "user.create dora" in asked.stderr, asked.describe()
    assert _version(room) == "7.5.0"
    room.machine.execute("appliance upgrade --rollback --yes", timeout=_SECONDS)
    assert _version(room) == version
    assert "dora" not in _users(room)
    assert room.machine.attempt("appliance upgrade --rollback --yes").code == 1
    _goes_on(room, server)


@pytest.mark.long
def test_uninstalled_and_installed_again_everything_is_back(room: Preloaded) -> None:
    machine = room.machine
    wheel = machine.execute("readlink -f /opt/appliance/wheels/installed.whl").strip()
    machine.execute(f"cp {wheel} /root/; cp -a /opt/appliance/wheels /opt/appliance/bin /root/")
    said = json.loads(machine.execute("appliance uninstall --dry-run --json"))
    assert "/opt/appliance" in said["removes"]
    assert said["servers"] == ["appliance-user-bob.service"]
    assert machine.attempt("appliance uninstall </dev/null").code == 2
    machine.execute("appliance uninstall --yes", timeout=60)
    machine.fail("test -e /opt/appliance -o -e /usr/local/bin/appliance -o -e /run/appliance")
    assert machine.execute("ls /etc/systemd/system | grep -c appliance || true").strip() == "0"
    assert machine.execute("systemctl list-units --all --no-legend 'appliance*'").strip() == ""
    assert machine.execute("ss -Hltn 'sport = :80'") == ""
    assert machine.execute("systemctl is-enabled nginx || true").strip() == "disabled"
    machine.execute("test -e /home/nb-bob/count -a -e /var/lib/appliance/hub/hub.sqlite")
    machine.execute("mkdir /opt/appliance; cp -a /root/wheels /root/bin /opt/appliance/")
    machine.write_file(
        "/root/bootstrap.py", Path(__file__).parents[2].joinpath("bootstrap.py").read_bytes()
    )
    machine.execute(
        f"python3 /root/bootstrap.py --yes --source /root/{Path(wheel).name}", timeout=_SECONDS
    )
    assert "bob" in _users(room)
    room.start("bob")


@pytest.mark.long
def test_purged_nothing_is_left(room: Preloaded) -> None:
    machine = room.machine
    machine.execute("appliance uninstall --purge --yes", timeout=60)
    folders = "/etc/appliance /var/lib/appliance /srv/appliance /home/nb-bob"
    assert machine.execute(f"ls -d {folders} 2>/dev/null || true") == ""
    assert machine.execute("getent passwd nb-bob appliance-hub appliance-proxy || true") == ""
    machine.fail("getent group appliance-users")
    assert machine.execute("systemctl list-units --failed --no-legend") == ""
    # Whoever ends the machine stops all servers first.
    machine.execute("ln -s /bin/true /usr/local/bin/appliance")
