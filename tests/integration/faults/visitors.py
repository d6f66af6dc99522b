"""What comes over the network, and servers that don't do as they are told."""

from __future__ import annotations

import re
import shlex
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


# A program in the place of a user's server, at the same socket.
_LAGGARD: Final = """
import grp, os, socket, sys, time
path, kind = sys.argv[1:]
os.rename(path, path + ".kept")
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
os.chown(path, 0, grp.getgrnam("appliance-proxy").gr_gid)
os.chmod(path, 0o660)
listener.listen(100)
listener.settimeout(1)
print("listening", flush=True)
held, drips = [], {
    "never ends its headers": (b"HTTP/1.1 200 OK\\r\\nX-Slow: ", b"z"),
    "a byte each second": (b"HTTP/1.1 200 OK\\r\\nContent-Length: 900000\\r\\n\\r\\n", b"z"),
}
first, more = drips.get(kind, (b"", b""))
due = time.monotonic()
while True:
    try:
        if kind == "takes no connection":
            time.sleep(1)
        else:
            one, _ = listener.accept()
            held.append(one)
            if kind == "hears nothing":
                one.shutdown(socket.SHUT_RD)
            one.sendall(first)
    except OSError:
        pass
    if time.monotonic() >= due:
        due = time.monotonic() + 1
        for one in held:
            try:
                one.sendall(more)
            except OSError:
                pass
"""
_LAGGARDS: Final = (
    "takes no connection", "never answers", "never ends its headers", "a byte each second",
    "hears nothing",
)  # fmt: skip
# People who wait for it, and how many hear of something.
_WAITING: Final = """
import select, socket, sys, time
held = []
for number in range(int(sys.argv[1])):
    one = socket.create_connection(("127.0.0.1", 80))
    one.sendall(b"GET /user/laggard/lab HTTP/1.1\\r\\nHost: x\\r\\nAccept: text/html\\r\\n\\r\\n")
    held.append(one)
time.sleep(3)
readable, _, _ = select.select(held, [], [], 0)
heard = {one.recv(12)[9:].decode() for one in readable}
print("held", len(held) - len(readable), *sorted(heard), flush=True)
time.sleep(100)
"""
_WAITS: Final = 600


def slow_servers(room: Preloaded, tries: int, tally: Tally) -> None:
    """Others' pages and servers are as quick as ever, and the slow one can be stopped."""
    machine = room.machine
    room.add("laggard")
    room.add("swift")
    room.start("swift")
    machine.write_file("/run/laggard.py", _LAGGARD)
    machine.write_file("/run/waiting.py", _WAITING)
    for number in range(tries):
        kind = _LAGGARDS[number % len(_LAGGARDS)]
        room.start("laggard")
        before = _memory(machine, "nginx")
        machine.execute(
            f"systemd-run -q --collect --unit=laggard{number} python3 /run/laggard.py"
            f" /run/appliance/servers/laggard/default.sock {shlex.quote(kind)};"
            f" systemd-run -q --collect --unit=waiting{number} -p LimitNOFILE=4096"
            f" python3 /run/waiting.py {_WAITS}"
        )
        held = f"journalctl -o cat -u waiting{number} | grep held"
        machine.wait_until(held, timeout=60)
        _, waiting, *heard = machine.execute(held).split()
        problems = _judge_others(room)
        grown = (_memory(machine, "nginx") - before) / 2**20
        if grown > 64:
            problems.append(f"the proxy grew by {grown:.0f} MiB")
        room.stop("laggard")
        said = machine.execute("curl -s -m 20 -w '%{http_code}' http://127.0.0.1/user/laggard/lab")
        if not re.search(r"(302|424|503)$", said):
            problems.append(f"who asks later hears {said[-200:]!r}")
        machine.execute(f"systemctl stop waiting{number} laggard{number}")
        tally.count([f"{kind}: {problem}" for problem in problems])
        tally.notes.append(
            f"{kind}: {waiting} of {_WAITS} wait, others hear {' '.join(heard) or 'nothing'},"
            f" proxy {grown:+.0f} MiB"
        )


def _judge_others(room: Preloaded) -> list[str]:
    page = _page_seconds(room.machine)
    problems = [f"a page took {page:.1f} s"] if page > _PAGE_SECONDS else []
    began = time.monotonic()
    room.machine.execute(
        f"curl -fsS -m 20 -o /dev/null -H 'Authorization: token {room.token_of('swift')}'"
        " http://127.0.0.1/user/swift/api/status && appliance server list >/dev/null"
    )
    seconds = time.monotonic() - began
    return problems + ([f"another server took {seconds:.1f} s"] if seconds > _PAGE_SECONDS else [])


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


ROWS: Final = (
    Fault("600 slow and half-open connections", "log-in page within 2 s; the proxy grows by less"
          " than 64 MiB", 5, 1, slow_clients),
    Fault("600 people wait for a server that is slow (5 ways)", "log-in page and others' servers"
          " within 2 s; the proxy grows by less than 64 MiB; it can be stopped", 5, 1,
          slow_servers),
    Fault("server that doesn't end (stopped, deaf)", "gone within 30 s, nothing left", 6, 2,
          server_that_does_not_end),
    Fault("no name server, no Internet", "nothing waits for it", 3, 1, no_name_server),
    Fault("interrupted dpkg; dpkg's lock is held", "said, with the command; what runs goes on",
          2, 1, interrupted_package_installation),
)  # fmt: skip
