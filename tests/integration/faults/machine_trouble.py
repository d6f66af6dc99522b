"""Trouble of the whole machine: full and read-only disks, clocks that jump, bombs, reboots."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.integration.classroom import Classroom, wait_for
from tests.integration.faults.power_cuts import Ground
from tests.integration.faults.table import Fault, Tally

_STUCK_SECONDS: Final = 90
_PAGE_SECONDS: Final = 5.0
"""On one slow virtual processor; idle, a page takes a tenth of a second there."""

_FILL: Final = """
mkdir -p PLACE/fill; chown nobody PLACE/fill
cd PLACE/fill; WHO bash <<'END'
fallocate -l $(( $(df --output=avail -B1 . | tail -1) )) most 2>/dev/null
for size in 8M 1M 64K 4K; do
  number=0; while fallocate -l $size $size.$((number += 1)); do :; done
done 2>/dev/null
:
END
"""
_AS_USER: Final = "setpriv --reuid nobody --regid nogroup --clear-groups"
_AS_ROOT: Final = "env"
"""For whom file systems keep a twentieth, too."""
_PLACES: Final = {
    "the disk of state, homes and journal": ("/var", _AS_USER),
    "the same, to root's last block": ("/var", _AS_ROOT),
    "/tmp": ("/tmp", _AS_USER),
    "/run": ("/run", _AS_USER),
}


def _ask(ground: Ground) -> float:
    """Seconds for the log-in page; raises when it doesn't come."""
    began = time.monotonic()
    page = ground.classroom.visitor("").get("/hub/login")
    assert page.status == 200, page.status
    return time.monotonic() - began


def disk_full(ground: Ground, tries: int, tally: Tally) -> None:
    """Somebody fills the disk; who is there works on, accounts stay, and room mends all."""
    room, machine = ground.classroom, ground.classroom.machine
    owner = room.visitor("fuller")
    if "fuller" not in room.names():
        owner.sign_up()
    places = list(_PLACES)
    for number in range(tries):
        what = places[number % len(places)]
        place, who = _PLACES[what]
        room.start("fuller")
        owner.log_in()
        known = set(room.names())
        problems: list[str] = []
        with _filled(room, place, who):
            _ask(ground)
            if room.visitor("fuller").log_in().status != 200:
                problems.append("the first can't log in")
            if owner.get("/user/fuller/api/status").status != 200:
                problems.append("a running server is gone")
            room.visitor(f"full{number}").sign_up()
            machine.attempt("systemctl restart appliance-hub.service", timeout=60)
            wait_for(room.is_healthy, bool, seconds=60)
            if room.visitor("fuller").log_in().status != 200:
                problems.append("nobody can log in after a restart")
            if place == "/var" and "full" not in machine.attempt("appliance status").stdout:
                problems.append("the status doesn't say so")
        lost = len(known - set(room.names()))
        problems += ground.problems()
        if room.visitor(f"after{number}").sign_up().path != "/hub/home":
            problems.append("nobody can sign up afterwards")
        machine.execute("appliance server stop fuller", timeout=90)
        room.start("fuller")
        tally.count([f"{what}: {problem}" for problem in problems], lost=lost)
        room.stop_all()


@contextmanager
def _filled(room: Classroom, place: str, who: str) -> Iterator[None]:
    room.machine.execute(_FILL.replace("PLACE", place).replace("WHO", who), timeout=120)
    try:
        yield
    finally:
        room.machine.execute(f"rm -rf {place}/fill", timeout=120)


def disk_read_only(ground: Ground, tries: int, tally: Tally) -> None:
    """The file system aborts, as after an error of the disk, and is read-only until a reboot."""
    room, machine = ground.classroom, ground.classroom.machine
    for number in range(tries):
        room.add(f"ro{number}")
        room.start(f"ro{number}")
        known = set(room.names())
        problems: list[str] = []
        machine.execute("mount -o remount,abort /; sleep 1")
        try:
            _ask(ground)
            page = room.visitor(f"never{number}").sign_up()
            if page.status < 500:
                problems.append(f"a sign-up was answered {page.status}")
            if room.units().get(f"appliance-user-ro{number}.service") != "active":
                problems.append("a running server is gone")
        finally:
            machine.cut_power()
            machine.boot()
        wait_for(room.is_healthy, bool, seconds=60)
        if room.visitor(f"again{number}").sign_up().path != "/hub/home":
            problems.append("nobody can sign up afterwards")
        problems += ground.problems()
        tally.count(problems, lost=len(known - set(room.names())))
        room.stop_all()


def clock_jumps(ground: Ground, tries: int, tally: Tally) -> None:
    room, machine = ground.classroom, ground.classroom.machine
    owner = room.visitor("timely")
    if "timely" not in room.names():
        owner.sign_up()
    jumps = ["+1 day", "-2 days", "+1 year", "-1 hour"]
    room.start("timely")
    for number in range(tries):
        if not room.servers().get("timely"):
            room.start("timely")
        problems: list[str] = []
        machine.execute(f"date -s '{jumps[number % len(jumps)]}'")
        time.sleep(8)
        if not room.servers().get("timely"):
            problems.append("its server was stopped")
        if room.visitor(owner.name).log_in().status != 200:
            problems.append("she can't log in")
        machine.execute(f"date -s @{time.time():.0f}")
        time.sleep(8)
        if not room.servers().get("timely"):
            problems.append("its server was stopped when the clock was set right")
        if room.visitor(owner.name).log_in().status != 200:
            problems.append("she can't log in afterwards")
        tally.count(
            [f"{jumps[number % len(jumps)]}: {one}" for one in problems + ground.problems()]
        )
    room.stop_all()


_BOMBS: Final = {
    "memory": "x = []\nwhile True: x.append(bytearray(2**24)); x[-1][::4096] = b'x' * 4096",
    "forks": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "descriptors": "import os\nx = []\nwhile True:\n    try: x += os.pipe()\n"
    "    except OSError: pass",
    "output": "while True: print('x' * 100000)",
    "processor": "import threading\ndef f():\n    while True: pass\n"
    "for _ in range(8): threading.Thread(target=f).start()",
    "files": "import itertools\nfor n in itertools.count(): open(f'f{n}', 'w').close()",
}


def bombs(ground: Ground, tries: int, tally: Tally) -> None:
    """A student's program takes what it can; others' pages come, and afterwards all is well."""
    room, machine = ground.classroom, ground.classroom.machine
    room.machine.execute("appliance config set limits.memory 256M", timeout=90)
    for number in range(tries):
        what = list(_BOMBS)[number % len(_BOMBS)]
        name = f"bomb{number}"
        room.add(name)
        room.start(name)
        bomb = f"open('began', 'w').close()\n{_BOMBS[what]}"
        machine.write_file(f"/home/nb-{name}/bomb.py", bomb)
        unit = f"appliance-user-{name}.service"
        # What servers print is the journal's work.
        goes_to = "systemd-cat" if what == "output" else "cat"
        # In the server's own control group, where its kernels are.
        machine.execute(
            f"group=/sys/fs/cgroup$(systemctl show -P ControlGroup {unit});"
            f" setsid sh -c 'echo $$ >'$group'/cgroup.procs; cd /home/nb-{name};"
            f" setpriv --reuid nb-{name} --regid nb-{name} --clear-groups"
            f" python3 bomb.py | {goes_to}' >/dev/null 2>&1 </dev/null &"
        )
        slowest = 0.0
        for _ in range(8):
            slowest = max(slowest, _ask(ground))
            time.sleep(0.5)
        problems = [f"a page took {slowest:.1f} s"] if slowest > _PAGE_SECONDS else []
        machine.execute(f"test -e /home/nb-{name}/began")
        machine.execute(f"appliance server stop {name}", timeout=120)
        if machine.attempt(f"pgrep -u nb-{name}").code == 0:
            problems.append("processes are left")
        machine.execute(f"rm -rf /home/nb-{name}/f*", timeout=300)
        tally.count([f"{what}: {problem}" for problem in problems + ground.problems()])
        tally.notes.append(f"{what}: slowest page {slowest:.2f} s")
    room.machine.execute("appliance config unset limits.memory", timeout=90)


_SLOW: Final = "/srv/slow"
_STUCK: Final = {
    "frozen": ("echo 1 >GROUP/cgroup.freeze", "echo 0 >GROUP/cgroup.freeze"),
    # Linux lets a program that writes there wait, and nothing ends it.
    "its disk doesn't answer": (
        f"truncate -s 64M /root/slow; mkfs.ext4 -q -F /root/slow; mkdir -p {_SLOW};"
        f" mount -o loop /root/slow {_SLOW}; chmod 777 {_SLOW}; fsfreeze -f {_SLOW};"
        " setsid sh -c 'echo $$ >GROUP/cgroup.procs; exec setpriv --reuid nb-ice --regid nb-ice"
        f" --clear-groups touch {_SLOW}/file' >/dev/null 2>&1 </dev/null &"
        " timeout 20 sh -c 'until ps -u nb-ice -o stat= | grep -q ^D; do sleep 0.2; done'",
        f"fsfreeze -u {_SLOW}; umount {_SLOW}",
    ),
}
"""What makes it so, and what ends it; GROUP stands for the server's control group."""


def stuck_servers(ground: Ground, tries: int, tally: Tally) -> None:
    """A program of the server's takes no signal; it is said in time, and others go on."""
    room, machine = ground.classroom, ground.classroom.machine
    if "ice" not in room.names():
        room.add("ice", "water")
    unit = "appliance-user-ice.service"
    for number in range(tries):
        what = list(_STUCK)[number % len(_STUCK)]
        room.start("ice")
        group = f"/sys/fs/cgroup{machine.execute(f'systemctl show -P ControlGroup {unit}').strip()}"
        begin, end = (command.replace("GROUP", group) for command in _STUCK[what])
        try:
            machine.execute(begin)
            began = time.monotonic()
            stopped = machine.attempt("appliance server stop ice", timeout=150)
            seconds = time.monotonic() - began
            problems = [] if seconds < _STUCK_SECONDS else [f"an answer took {seconds:.0f} s"]
            if stopped.code and "why" not in stopped.stderr:
                problems.append(f"not told: {stopped.stderr.strip()[-200:]}")
            again = machine.attempt("appliance server start ice", timeout=90)
            if again.code and "has not ended: it waits for a disk" not in again.stderr:
                problems.append(f"the next start: {again.stderr.strip()[-200:]}")
            room.start("water")
            machine.execute("appliance server stop water", timeout=90)
        finally:
            machine.attempt(end)
        machine.execute("appliance server stop ice", timeout=90)
        gone = "timeout 60 sh -c 'while pgrep -u nb-ice >/dev/null; do sleep 0.5; done'"
        if machine.attempt(gone, timeout=90).code:
            problems.append("processes are left")
        machine.execute("appliance server start ice && appliance server stop ice", timeout=90)
        tally.count([f"{what}: {problem}" for problem in problems + ground.problems()])
        tally.notes.append(f"{what}: the answer took {seconds:.0f} s")


def reboots(ground: Ground, tries: int, tally: Tally) -> None:
    """The machine is started anew during class: everybody is back with a click."""
    room, machine = ground.classroom, ground.classroom.machine
    owner = room.visitor("student")
    if "student" not in room.names():
        owner.sign_up()
    room.start("student")
    for number in range(tries):
        machine.execute(f"echo {number} >/home/nb-student/kept")
        machine.reboot()
        problems = ground.problems()
        if room.visitor(owner.name).log_in().status != 200:
            problems.append("she can't log in")
        room.start("student")
        kept = machine.read_file("/home/nb-student/kept").strip()
        tally.count(problems, lost=int(kept != str(number)))
    room.stop_all()


ROWS: Final = (
    Fault("disk full (state and homes, by users and by root; /tmp, /run)",
          "the first log-in works, after a restart too, and the status says what is full;"
          " servers go on, no account lost", 8, 2, disk_full),
    Fault("disk read-only", "said with a 5xx, servers go on; all well after a reboot", 4, 1,
          disk_read_only),
    Fault("clock jumps (+1 day, -2 days, +1 year, -1 hour)", "nobody culled or logged out for good",
          8, 1, clock_jumps),
    Fault("bombs of memory, forks, descriptors, output, processor, files",
          "log-in page within 5 s on one slow processor; nothing left", 6, 1, bombs),
    Fault("server that takes no signal (frozen; its disk doesn't answer)", "an answer within 90 s,"
          " others start and stop; nothing left afterwards", 4, 2, stuck_servers),
    Fault("reboot during class", "everybody back with a click, files kept", 3, 1, reboots),
)  # fmt: skip
