"""A user who asks the preload daemon for more than hers: `attack.py NAME`, in a unit of hers.

Each attack prints what came of it, a line each.
"""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from asking import ask, connect, differences, facts, go, message, reply, say, send

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
NEW_USER, NEW_MOUNTS = 0x10000000, 0x20000
# As often as a user may ask at once.
BURST = 10


def honest() -> None:
    """Ask as one should; whether what comes is confined as we are."""
    with connect() as connection:
        send(connection, message())
        answer = reply(connection)
        say(answer.split()[0] if answer.startswith("OK") else answer)
        if answer.startswith("OK"):
            child = go(connection, answer)
            say(differences(child) or "the same as I")


def connected_by(run: Callable[[socket.socket], None]) -> None:
    """A child asks and does what `run` does; we tell the answer that comes for it.

    It is the child that connects, for the daemon looks at whoever did.
    """
    # One that has ended shall be gone, and its number free.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        mine = connect()
        send(mine, message())
        socket.send_fds(theirs, [str(os.getpid()).encode()], [mine.fileno()])
        run(mine)
        os._exit(0)
    _, (descriptor,), _, _ = socket.recv_fds(ours, 100, 1)
    with socket.socket(fileno=descriptor) as connection:
        connection.settimeout(9)
        say(f"asked by {child}")
        say(reply(connection))
    with suppress(ProcessLookupError, PermissionError):
        os.kill(child, signal.SIGCONT)
        os.kill(child, signal.SIGKILL)


def in_a_user_namespace() -> None:
    if LIBC.unshare(NEW_USER | NEW_MOUNTS) != 0:
        say(f"cannot unshare: {os.strerror(ctypes.get_errno())}")
    say(ask())


def into_a_user_namespace() -> None:
    def run(_: socket.socket) -> None:
        LIBC.unshare(NEW_USER | NEW_MOUNTS)
        time.sleep(20)

    connected_by(run)


def becoming_root() -> None:
    """Asks, then is a set-user-ID program; `su` waits for a password."""

    def run(_: socket.socket) -> None:
        pipe = os.pipe()
        os.dup2(pipe[0], 0)
        os.execv("/usr/bin/su", ["su", "root"])

    connected_by(run)


def becoming_another_program() -> None:
    def run(_: socket.socket) -> None:
        os.execv("/bin/sleep", ["sleep", "20"])

    connected_by(run)


def dying() -> None:
    connected_by(lambda _: None)


def stopping() -> None:
    connected_by(lambda _: os.kill(os.getpid(), signal.SIGSTOP))


def stalling() -> None:
    """In the middle of vfork(2), where a process doesn't react to being traced."""

    def run(_: socket.socket) -> None:
        pipe = f"/tmp/pipe-{os.getpid()}"
        os.mkfifo(pipe)
        opening = [(os.POSIX_SPAWN_OPEN, 0, pipe, os.O_RDONLY, 0)]
        os.posix_spawn("/bin/true", ["true"], {}, file_actions=opening)

    connected_by(run)


def traced() -> None:
    """By a process of its own, so that nobody else can read its filters."""
    child = os.fork()
    if child == 0:
        time.sleep(0.3)
        say(ask())
        os._exit(0)
    say(f"traces: {LIBC.ptrace(PTRACE_SEIZE, child, None, None)}")
    os.waitpid(child, 0)


def with_many_filters() -> None:
    for _ in range(70):
        add_filter(returning=0x7FFF0000)
    say(ask())


def with_a_filter_that_lies() -> None:
    """One of ours says that calls were done that were not."""
    add_filter(returning=0x00050000, of_calls=PRIVILEGE_CALLS)
    honest()


# setuid, setgid, setgroups, setresuid, setresgid, seccomp: x86-64, arm64.
PRIVILEGE_CALLS = {
    "x86_64": (105, 106, 116, 117, 119, 317), "aarch64": (146, 144, 159, 147, 149, 277),
}.get(os.uname().machine, ())  # fmt: skip


def add_filter(*, returning: int, of_calls: tuple[int, ...] = ()) -> None:
    """A seccomp program: `returning` for these calls (for all if there are none), or allow."""
    code = []
    if of_calls:
        code.append((0x20, 0, 0, 0))
        for index, number in enumerate(of_calls):
            code.append((0x15, len(of_calls) - index, 0, number))
        code.append((0x06, 0, 0, 0x7FFF0000))
    code.append((0x06, 0, 0, returning))
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(buffer)))
    LIBC.prctl(38, 1, 0, 0, 0)
    if LIBC.prctl(22, 2, ctypes.addressof(head), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def malformed() -> None:
    """The third of PART of requests that aren't; each must be refused and leave nothing behind."""
    huge = (2**31).to_bytes(4, "little")
    text = message()[4:]
    file = os.open("/etc/hosts", os.O_RDONLY)
    honest = [0, 1, 2, os.open(".", os.O_PATH)]
    requests: list[tuple[str, bytes, list[int]]] = [
        ("empty", b"\0", honest),
        ("a length alone", b"\5\0\0\0", honest),
        ("no text", bytes(4), honest),
        ("noise", random.randbytes(5000), honest),
        ("a length of two gigabytes", huge + text, honest),
        ("a length of all bits", b"\xff\xff\xff\xff" + text, honest),
        ("no NUL", b"\4\0\0\0abcd", honest),
        ("only NULs", b"\4\0\0\0\0\0\0\0", honest),
        ("fewer arguments than said", message(args=["a"], count="9999"), honest),
        ("a negative number of arguments", message(args=["a"], count="-1"), honest),
        ("no number", message(args=["a"], count="x"), honest),
        ("another digit", message(args=["a"], count="\u0661"), honest),
        ("another kind", message(kind="server"), honest),
        ("a path as the kind", message(kind="../server"), honest),
        ("another command", message(args=["/bin/sh", "-c", "id"]), honest),
        ("two megabytes", message(args=["x" * 2**21]), honest),
        ("not UTF-8", b"\3\0\0\0\xff\xfe\0", honest),
        ("no descriptors", message(), []),
        ("one descriptor", message(), [0]),
        ("two hundred descriptors", message(), [0] * 253),
        ("a file as the directory", message(), [0, 1, 2, file]),
    ]
    for name, data, descriptors in requests[int(os.environ["PART"]) :: 3]:
        say(f"{name}: {ask_briefly(data, descriptors)}")


def ask_briefly(data: bytes, descriptors: list[int]) -> str:
    """As `ask`, but say that nothing more will come."""
    try:
        with connect() as connection:
            send(connection, data, descriptors)
            connection.shutdown(socket.SHUT_WR)
            return reply(connection)
    except OSError as error:
        return f"nothing: {error.strerror}"


def idle() -> None:
    """Connections on which nothing comes, held as long as may be."""
    connections = []
    for _ in range(200):
        with suppress(OSError):
            connections.append(connect())
    say(f"holding {len(connections)}")
    time.sleep(60)


def flood() -> None:
    """Ask without end, by several processes."""
    for _ in range(3):
        if os.fork() == 0:
            break
    end = time.monotonic() + 60
    while time.monotonic() < end:
        say(ask(data=message()).split()[0])


def catching() -> None:
    """Trace every new process of ours before it has all its filters."""
    filters = int(facts("self")["Seccomp_filters"])
    hunter = os.fork()
    if hunter == 0:
        hunt(filters)
    for _ in range(BURST):
        with suppress(OSError), connect() as connection:
            send(connection, message())
            answer = reply(connection)
            if answer.startswith("OK"):
                say(differences(go(connection, answer)) or "the same as I")
    os.kill(hunter, signal.SIGTERM)
    os.waitpid(hunter, 0)


def hunt(filters: int) -> None:
    """Say so if one can be traced that has fewer filters than we."""
    seen = {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    caught = 0

    def end(*_: object) -> None:
        say(f"caught {caught}")
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    last = max(seen)
    while True:
        for pid in range(last - 3, last + 12):
            if pid in seen or LIBC.ptrace(PTRACE_SEIZE, pid, None, None) != 0:
                continue
            seen.add(pid)
            last = max(last, pid)
            with suppress(OSError):
                found = facts(pid)
                caught += 1
                if int(found["Seccomp_filters"]) < filters or "1" not in found["NoNewPrivs"]:
                    say(f"ESCAPED {found}")
            LIBC.ptrace(PTRACE_DETACH, pid, None, None)


def evading_tasks_max() -> None:
    """More processes than the unit may have, at the daemon's cost."""
    told: dict[str, int] = {}
    alive = []
    for _ in range(40):
        time.sleep(float(os.environ["PAUSE"]))
        with suppress(OSError):
            connection = connect()
            send(connection, message())
            answer = reply(connection)
            told[answer.split()[0]] = told.get(answer.split()[0], 0) + 1
            if answer.startswith("OK"):
                go(connection, answer)
                alive.append(answer)
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next(line[3:] for line in lines if line.startswith("0::"))
    tasks = Path(f"/sys/fs/cgroup{path}")
    say(f"asked {told}")
    say(f"tasks {(tasks / 'pids.current').read_text().strip()}")
    say(f"limit {(tasks / 'pids.max').read_text().strip()}")


def sub_processes_of_another_user() -> None:
    """By sudo, inside of the same unit."""
    done = subprocess.run(
        ["sudo", "-n", "-E", "-u", os.environ["OTHER"], sys.executable, __file__, "honest"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    say(done.stdout.strip() or done.stderr.strip())


if __name__ == "__main__":
    globals()[sys.argv[1].replace("-", "_")]()
