"""What comes over the network, and servers that don't do as they are told."""

from __future__ import annotations

import json
import re
import time
from typing import Final

from tests.integration.commands import Commands
from tests.integration.faults.table import Fault, Tally
from tests.integration.faults.watching import as_if_limits_bite, seconds_until_healthy
from tests.integration.preloaded import Preloaded, unit_of

_PAGE_SECONDS: Final = 2.0

# Connections that send a byte now and then, that end a request never, and that vanish half way.
_SLOW: Final = """
import socket, sys, time
held = []
for number in range(int(sys.argv[1])):
    one = socket.create_connection(("127.0.0.1", 80))
    kind = number % 3
    if kind == 0:
        one.sendall(b"GET /hub/login HTTP/1.1\\r\\nHost: x\\r\\nX-Slow: ")
    elif kind == 1:
        one.sendall(b"POST /hub/login HTTP/1.1\\r\\nHost: x\\r\\n")
        one.sendall(b"Content-Length: 900000\\r\\n\\r\\na=")
    else:
        one.sendall(b"GET /hub/static/appliance.css HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    held.append(one)
print("held", flush=True)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    for one in held[::3]:
        try:
            one.sendall(b"z")
        except OSError:
            pass
    time.sleep(1)
"""


def _page_seconds(machine: Commands) -> float:
    """The slowest of ten log-in pages."""
    said = machine.execute(
        "for i in $(seq 10); do curl -fsS -m 30 -o /dev/null -w '%{time_total}\\n'"
        " http://127.0.0.1/hub/login; done",
        timeout=120,
    )
    return max(float(word) for word in said.split())


def _memory(machine: Commands, unit: str) -> int:
    """Bytes of private memory of a unit's processes."""
    said = machine.execute(
        f"for p in $(pgrep -f '{unit}'); do grep -E '^(Private_Clean|Private_Dirty):'"
        " /proc/$p/smaps_rollup; done 2>/dev/null | awk '{sum += $2} END {print sum+0}'"
    )
    return int(said) * 1024


def slow_clients(room: Preloaded, tries: int, tally: Tally) -> None:
    machine = room.machine
    machine.write_file("/run/slow.py", _SLOW)
    for _ in range(tries):
        before = _memory(machine, "nginx")
        machine.execute(
            "rm -f /run/slow.out; setsid python3 /run/slow.py 600 12 >/run/slow.out 2>&1"
            " </dev/null &"
        )
        machine.wait_until("grep -q held /run/slow.out", timeout=30)
        seconds = _page_seconds(machine)
        grown = (_memory(machine, "nginx") - before) / 2**20
        problems = [f"a page took {seconds:.1f} s"] if seconds > _PAGE_SECONDS else []
        if grown > 64:
            problems.append(f"the proxy grew by {grown:.0f} MiB")
        tally.count(problems)
        tally.notes.append(f"slowest page {seconds:.2f} s, proxy {grown:+.0f} MiB")
        machine.attempt("pkill -f '[s]low.py'")


def server_that_does_not_end(room: Preloaded, tries: int, tally: Tally) -> None:
    """Stopped by SIGSTOP or deaf to SIGTERM, it is gone in bounded time, and can start again."""
    machine = room.machine
    room.add("stuck")
    for number in range(tries):
        room.start("stuck")
        pid = room.main_pid(unit_of("stuck"))
        if number % 2:
            machine.execute(f"kill -STOP {pid}")
        else:
            token = room.token_of("stuck")
            code = "import signal,os;os.setsid();signal.signal(15, signal.SIG_IGN);signal.pause()"
            machine.write_file("/run/deaf.py", code)
            kernel = room.start_kernel("stuck")
            assert token
            room.run(
                "stuck", kernel,
                f"import subprocess,sys; subprocess.Popen([sys.executable,'-c',{code!r}]); 1",
            )  # fmt: skip
        began = time.monotonic()
        stopped = machine.attempt("appliance server stop stuck", timeout=90)
        seconds = time.monotonic() - began
        problems = [] if stopped.code == 0 else [stopped.stderr.strip()[-200:]]
        if seconds > 30:
            problems.append(f"it took {seconds:.0f} s")
        if machine.attempt("pgrep -u nb-stuck").code == 0:
            problems.append("processes are left")
        tally.count(problems)


def no_name_server(room: Preloaded, tries: int, tally: Tally) -> None:
    """No name can be resolved and nothing outside be reached; nothing here waits for that."""
    machine = room.machine
    room.add("offline")
    machine.execute(
        "cp /etc/resolv.conf /run/resolv.conf.kept 2>/dev/null; rm -f /etc/resolv.conf;"
        " echo nameserver 192.0.2.53 >/etc/resolv.conf"
    )
    try:
        for _ in range(tries):
            machine.execute("systemctl restart appliance-hub.service")
            back = seconds_until_healthy(machine)
            page = _page_seconds(machine)
            began = time.monotonic()
            room.start("offline")
            started = time.monotonic() - began
            problems = []
            if page > _PAGE_SECONDS:
                problems.append(f"a page took {page:.1f} s")
            if started > 15 or back > 10:
                problems.append(f"start {started:.0f} s, hub {back:.0f} s")
            answer = room.run("offline", room.start_kernel("offline"), "print(6 * 7)")
            if answer.strip() != "42":
                problems.append(f"a cell said {answer!r}")
            room.stop("offline")
            tally.count(problems)
    finally:
        machine.execute("rm /etc/resolv.conf; cp /run/resolv.conf.kept /etc/resolv.conf || :")


def interrupted_package_installation(room: Preloaded, tries: int, tally: Tally) -> None:
    """dpkg was cut off, or is at work; the installer says so, and what runs goes on."""
    machine = room.machine
    for _ in range(tries):
        machine.execute("touch /var/lib/dpkg/updates/0001")
        told = machine.attempt("python3 /run/bootstrap.py --check", timeout=60)
        problems = [] if "dpkg --configure -a" in told.stdout + told.stderr else ["no advice"]
        machine.execute("rm /var/lib/dpkg/updates/0001")
        problems += _another_installation(machine)
        seconds_until_healthy(machine)
        tally.count(problems)


_HOLDER: Final = """
import fcntl, time
with open("/var/lib/dpkg/lock-frontend", "w") as lock:
    fcntl.lockf(lock, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(100)
"""


def _another_installation(machine: Commands) -> list[str]:
    """Somebody holds dpkg's lock: that is waited for, and said with the program."""
    machine.write_file("/run/holder.py", _HOLDER)
    machine.execute("systemd-run -q --unit=holder python3 /run/holder.py")
    machine.wait_until("journalctl -o cat -u holder | grep -q held", timeout=20)
    with as_if_limits_bite(machine):
        told = machine.attempt("python3 /run/bootstrap.py --check", timeout=60)
    machine.execute("systemctl stop holder")
    said = told.stdout + told.stderr
    return [] if re.search(r"python3 .* is running: will wait for it", said) else ["no word of it"]


def many_people(room: Preloaded, tries: int, tally: Tally) -> None:
    """Ten thousand users in the database; an admin's page of them comes at once."""
    machine = room.machine
    names = [f"m{number}" for number in range(10_000)]
    known = machine.execute("appliance user list | wc -l")
    if int(known) < len(names):
        for start in range(0, len(names), 1000):
            machine.execute(
                "curl -fsS -m 100 --unix-socket /run/appliance/admin.sock -X POST"
                " -H 'Content-Type: application/json' --data-binary @- -o /dev/null"
                " http://localhost/hub/api/users",
                stdin=json.dumps({"usernames": names[start : start + 1000]}), timeout=120,
            )  # fmt: skip
    for _ in range(tries):
        said = machine.execute(
            "for i in 1 2 3 4 5; do curl -fsS -m 60 --unix-socket /run/appliance/admin.sock"
            " -o /dev/null -w '%{time_total}\\n' 'http://localhost/hub/api/users?limit=100';"
            " done", timeout=200,
        )  # fmt: skip
        median = sorted(float(word) for word in said.split())[2]
        tally.count([f"a page of users took {median:.2f} s"] if median > 0.5 else [])
        tally.notes.append(f"100 of 10,000 users in {median:.3f} s")


ROWS: Final = (
    Fault("600 slow and half-open connections", "log-in page within 2 s; the proxy grows by less"
          " than 64 MiB", 5, 1, slow_clients),
    Fault("server that doesn't end (stopped, deaf)", "gone within 30 s, nothing left", 6, 2,
          server_that_does_not_end),
    Fault("no name server, no Internet", "nothing waits for it", 3, 1, no_name_server),
    Fault("interrupted dpkg; dpkg's lock is held", "said, with the command; what runs goes on",
          2, 1, interrupted_package_installation),
    Fault("10,000 users", "a page of 100 within 0.5 s", 2, 0, many_people),
)  # fmt: skip
