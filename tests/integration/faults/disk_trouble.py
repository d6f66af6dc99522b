"""Disks that have no entry for another file, and disks that answer with errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.integration.classroom import Classroom, wait_for
from tests.integration.commands import Commands
from tests.integration.faults.power_cuts import Ground
from tests.integration.faults.table import Fault, Tally
from tests.integration.visitor import Page

_ENTRIES: Final = "/var/entries"
_TAKE_ENTRIES: Final = f"""
import itertools, os
os.chdir("{_ENTRIES}")
try:
    for number in itertools.count():
        if number % 20000 == 0:
            folder = str(number)
            os.mkdir(folder)
        os.mknod(f"{{folder}}/{{number}}")
except OSError as error:
    print(error.strerror)
"""
_NO_FILE: Final = "no file can be made any more"


def no_entries(ground: Ground, tries: int, tally: Tally) -> None:
    """A user makes empty files until the file system of state, homes and /tmp has no entry left."""
    room, machine = ground.classroom, ground.classroom.machine
    owner = room.visitor("fuller")
    if "fuller" not in room.names():
        owner.sign_up()
    for number in range(tries):
        room.start("fuller")
        owner.log_in()
        known = set(room.names())
        with _entries_taken(machine):
            problems = _judge_full(room, number)
        lost = len(known - set(room.names()))
        problems += ground.problems()
        machine.execute("systemctl start appliance-quota.service", timeout=90)
        if room.visitor(f"fresh{number}").sign_up().path != "/hub/home":
            problems.append("nobody can sign up afterwards")
        machine.execute("appliance server stop fuller", timeout=90)
        room.start("fuller")
        tally.count(problems, lost=lost)
        room.stop_all()


def _judge_full(room: Classroom, number: int) -> list[str]:
    """What isn't as it should be while there is no entry left; accounts made are known later."""
    machine, problems = room.machine, []
    owner = room.visitor("fuller")
    if owner.log_in().status != 200:
        problems.append("the first can't log in")
    if owner.get("/user/fuller/api/status").status != 200:
        problems.append("a running server is gone")
    if _NO_FILE not in machine.attempt("appliance status").stdout:
        problems.append("the status doesn't say so")
    room.visitor(f"meanwhile{number}").sign_up()
    refused = machine.attempt(f"appliance server start meanwhile{number}", timeout=90)
    if refused.code and "No space left" not in refused.stderr:
        problems.append(f"a start: {refused.stderr.strip()[-200:]}")
    for program in ("hub", "proxy", "spawner"):
        # Each takes what is kept back, as after a crash; the first leaves enough for the others.
        machine.attempt(f"systemctl restart appliance-{program}.service", timeout=60)
        wait_for(room.is_healthy, bool, seconds=30)
    if room.visitor("fuller").log_in().status != 200:
        problems.append("nobody can log in after restarts")
    if room.units().get("appliance-user-fuller.service") != "active":
        problems.append("a running server is gone after restarts")
    return problems


@contextmanager
def _entries_taken(machine: Commands) -> Iterator[None]:
    machine.write_file("/run/entries.py", _TAKE_ENTRIES)
    said = machine.execute(
        f"mkdir {_ENTRIES} && chown nobody {_ENTRIES} && setpriv --reuid nobody --regid nogroup"
        " --clear-groups python3 /run/entries.py",
        timeout=200,
    )
    assert "No space left" in said, said
    try:
        yield
    finally:
        machine.execute(f"rm -rf {_ENTRIES}", timeout=200)


_PLACES: Final = {"state": "/var/lib/appliance", "homes": "/home"}
_TABLES: Final = {
    "nothing is read or written": "0 SIZE error",
    "nothing is written": "0 SIZE flakey LOOP 0 0 3600 1 error_writes",
    "": "0 SIZE linear LOOP 0",
}
"""Of the device mapper; the last is a disk that is well."""

# Files that are disks, each below a device that can fail; made ready early in each boot.
_DISKS: Final = "/root/disks"
_MOUNT: Final = f"""
set -e
modprobe loop; modprobe dm-mod; modprobe dm-flakey
for pair in {" ".join(f"{name}:{place}" for name, place in _PLACES.items())}; do
  name=${{pair%%:*}} place=${{pair#*:}}
  loop=$(losetup -f --show {_DISKS}/$name.img)
  echo "$(blockdev --getsz $loop) $loop" >/run/disk-$name
  dmsetup create $name --noudevsync --table "0 $(blockdev --getsz $loop) linear $loop 0"
  dmsetup mknodes
  e2fsck -p /dev/mapper/$name || test $? -lt 4
  mount /dev/mapper/$name $place
done
"""
_UNIT: Final = f"""\
[Unit]
DefaultDependencies=no
After=systemd-remount-fs.service systemd-modules-load.service systemd-udevd.service
Before=local-fs.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {_DISKS}/mount.sh
[Install]
RequiredBy=local-fs.target
"""
_FURNISH: Final = f"""
set -e
systemctl stop appliance.target 'appliance-*.service'
for pair in {" ".join(f"{name}:{place}" for name, place in _PLACES.items())}; do
  name=${{pair%%:*}} place=${{pair#*:}}
  truncate -s 900M {_DISKS}/$name.img
  mkfs.ext4 -q -F {_DISKS}/$name.img
  mkdir -p /mnt/new; mount -o loop {_DISKS}/$name.img /mnt/new
  cp -a $place/. /mnt/new/; umount /mnt/new
done
systemctl enable failing-disks.service
sync
"""


def disk_errors(ground: Ground, tries: int, tally: Tally) -> None:
    """The disk of the state, or of the homes, fails under a class at work; it is well later on."""
    room, machine = ground.classroom, ground.classroom.machine
    _put_on_disks_that_can_fail(ground)
    ways = [(name, what) for what in _TABLES if what for name in _PLACES]
    for number in range(tries):
        name, what = ways[number % len(ways)]
        owner = room.visitor(f"early{number}")
        problems = [] if owner.sign_up().path == "/hub/home" else ["nobody can sign up"]
        room.start(owner.name)
        known = set(room.names())
        _set_disk(machine, name, what)
        try:
            problems += _judge_state(room, number) if name == "state" else _judge_homes(room)
            if room.units().get(f"appliance-user-{owner.name}.service") != "active":
                problems.append("a running server is gone")
        finally:
            _set_disk(machine, name, "")
            machine.cut_power()
            machine.boot()
        wait_for(room.is_healthy, bool, seconds=60)
        lost = len(known - set(room.names()))
        problems += ground.problems()
        # Which starts her server.
        if room.visitor(owner.name).log_in().status != 200:
            problems.append("she can't log in afterwards")
        if room.visitor(f"later{number}").sign_up().path != "/hub/home":
            problems.append("nobody can sign up afterwards")
        machine.execute(f"appliance server stop {owner.name}", timeout=90)
        room.start(owner.name)
        tally.count([f"{name}, {what}: {problem}" for problem in problems], lost=lost)
        room.stop_all()


def _put_on_disks_that_can_fail(ground: Ground) -> None:
    machine = ground.classroom.machine
    if machine.attempt(f"test -e {_DISKS}").code:
        machine.write_file(f"{_DISKS}/mount.sh", _MOUNT)
        machine.write_file("/etc/systemd/system/failing-disks.service", _UNIT)
        machine.execute(_FURNISH, timeout=200)
        machine.reboot()
    for place in _PLACES.values():
        machine.execute(f"findmnt -n -o SOURCE {place} | grep -q ^/dev/mapper/")


def _set_disk(machine: Commands, name: str, what: str) -> None:
    table = _TABLES[what]
    machine.execute(
        f"read size loop </run/disk-{name};"
        f" dmsetup suspend --noflush --nolockfs {name};"
        f" echo '{table}' | sed \"s|SIZE|$size|; s|LOOP|$loop|\" | dmsetup load {name};"
        f" dmsetup resume {name}"
    )


def _judge_state(room: Classroom, number: int) -> list[str]:
    """Nothing can be kept, and everybody hears so; a hub that starts anew says why it can't."""
    problems = []
    if room.visitor("").get("/hub/login").status != 200:
        problems.append("the log-in page doesn't come")
    problems += _judge_refusal("a sign-up", room.visitor(f"never{number}").sign_up())
    problems += _judge_status(room.machine)
    room.machine.attempt("systemctl restart appliance-hub.service", timeout=60)
    problems += _judge_refusal("the log-in page later", room.visitor("").get("/hub/login"))
    return problems + _judge_status(room.machine)


def _judge_homes(room: Classroom) -> list[str]:
    """Who is there can log in; a new server is refused in words, or runs."""
    owner, problems = room.visitor("homeless"), []
    if "homeless" not in room.names() and owner.sign_up().status != 200:
        problems.append("nobody can sign up")
    # The way on from there starts her server.
    page = room.visitor("homeless").log_in()
    if page.status != 200 and not ("server did not start" in page.words and "disk" in page.words):
        problems.append(f"a log-in was answered {page.status}: {page.words[:300]}")
    started = room.machine.attempt("appliance server start homeless", timeout=120)
    if started.code and "why" not in started.stderr:
        problems.append(f"a start isn't refused in words: {started.stderr.strip()[-300:]}")
    return problems + _judge_status(room.machine)


def _judge_refusal(what: str, page: Page) -> list[str]:
    if page.status >= 500 and "The disk reports an error" in page.words.replace("the d", "The d"):
        return []
    return [f"{what} was answered {page.status}: {page.words[:300]}"]


def _judge_status(machine: Commands) -> list[str]:
    said = machine.attempt("appliance status", timeout=90)
    told = "a disk is broken" in said.stdout
    return [] if told else [f"the status: {(said.stdout + said.stderr)[-400:]}"]


ROWS: Final = (
    Fault("no entry for a file left (state, homes, /tmp)",
          "log-in works, after restarts of hub, proxy and spawner too; said with the command that"
          " shows where; no account lost", 3, 0, no_entries),
    Fault("disk with I/O errors (state, homes; all, writes)",
          "sign-up refused with the reason, status says which disk, servers go on; all acknowledged"
          " accounts there when the disk is well", 4, 0, disk_errors),
)  # fmt: skip
