"""What a process may do, tried by itself: JSON of each try with its outcome.

Every try has a process of its own, so that one that is allowed changes nothing for the next.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

# <asm/unistd.h> of x86-64, and of arm64 and what shares its table.
X86_64 = {
    "ptrace": 101, "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169,
    "sethostname": 170, "iopl": 172, "init_module": 175, "quotactl": 179, "add_key": 248,
    "request_key": 249, "keyctl": 250, "ioprio_set": 251, "unshare": 272, "perf_event_open": 298,
    "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310,
    "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430,
    "pidfd_getfd": 438, "syslog": 103, "modify_ldt": 154, "kexec_load": 246, "seccomp": 317,
}  # fmt: skip
ARM64 = {
    "ptrace": 117, "personality": 92, "pivot_root": 41, "chroot": 51, "acct": 89,
    "settimeofday": 170, "mount": 40, "umount2": 39, "swapon": 224, "reboot": 142,
    "sethostname": 161, "init_module": 105, "quotactl": 60, "add_key": 217,
    "request_key": 218, "keyctl": 219, "ioprio_set": 30, "unshare": 97, "perf_event_open": 241,
    "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
    "bpf": 280, "userfaultfd": 282, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430,
    "pidfd_getfd": 438, "syslog": 116, "kexec_load": 104, "seccomp": 277,
}  # fmt: skip
CALLS = {"x86_64": X86_64, "aarch64": ARM64}[os.uname().machine]
CLONES = {
    "mounts": 0x20000, "cgroups": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000,
    "user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "time": 0x80,
}  # fmt: skip
# prctl(2): what it answers of the calling process.
PRCTL_GET = {
    "parent death signal": 2, "dumpable": 3, "keeps capabilities": 7, "securebits": 27,
    "timer slack": 30, "no new privileges": 39, "huge pages off": 42, "child subreaper": 37,
    "seccomp": 21, "tsc": 25, "io flusher": 58,
}  # fmt: skip
BY_ADDRESS = {"parent death signal", "child subreaper", "tsc"}


def call(name: str, *arguments: object) -> int:
    """A system call by its number, past what libc would say about it."""
    # As a plain int, one that goes by the stack would have garbage in its upper half.
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(LIBC.syscall(CALLS[name], *words))
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def prctl_get(name: str) -> int:
    value = ctypes.c_int(-1)
    if name in BY_ADDRESS:
        LIBC.prctl(PRCTL_GET[name], ctypes.byref(value), 0, 0, 0)
        return value.value
    return int(LIBC.prctl(PRCTL_GET[name], 0, 0, 0, 0))


def chmod(mode: int) -> None:
    file = Path.home() / f"mine-{os.getpid()}"
    file.touch()
    try:
        file.chmod(mode)
    finally:
        file.unlink()


def write(folder: str) -> None:
    file = Path(folder).expanduser() / f"written-{os.getpid()}"
    file.touch()
    file.unlink()


def node() -> None:
    file = Path.home() / f"node-{os.getpid()}"
    os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    file.unlink()


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def metadata() -> None:
    with socket.socket() as client:
        client.settimeout(2)
        client.connect(("169.254.169.254", 80))


def open_socket(family: int, kind: int) -> None:
    socket.socket(family, kind).close()


def raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))


def read(path: str) -> str:
    with open(path, "rb") as file:
        return f"{len(file.read(1))} byte"


def foreign_processes() -> str:
    """How many processes of others are to be seen; the own ones come and go."""
    seen = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return str(sum(entry.stat().st_uid != os.getuid() for entry in seen))


def keys() -> str:
    """proc_keys(5) without numbers: permissions, owner, kind, and name."""
    lines = [line.split() for line in Path("/proc/keys").read_text().splitlines()]
    return str(sorted([words[4], words[5], words[7], *words[8:9]] for words in lines))


def add_key() -> None:
    """And invalidate it."""
    call("keyctl", 21, call("add_key", b"user", b"mine", b"x", 1, -3))


def sudo() -> str:
    done = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False, timeout=20)
    return str(done.returncode)


def own_cgroup() -> str:
    return "/sys/fs/cgroup" + Path("/proc/self/cgroup").read_text().partition("::")[2].strip()


def tries() -> dict[str, Callable[[], object]]:
    """All that is tried. What returns is done; an OSError is a refusal, its name the outcome."""
    buffer = ctypes.create_string_buffer(64)
    attach = struct.pack("QQ", ctypes.addressof(buffer), 8)
    found: dict[str, Callable[[], object]] = {
        "make a program set-user-ID": lambda: chmod(0o4755),
        "make a program set-group-ID": lambda: chmod(0o2755),
        "make a device": node,
        "list /home": lambda: os.listdir("/home"),
        "list /tmp": lambda: len(os.listdir("/tmp")),
        "list /dev": lambda: sorted(os.listdir("/dev")),
        "list /run/appliance": lambda: sorted(os.listdir("/run/appliance")),
        "list /run/credentials": lambda: len(os.listdir("/run/credentials")),
        "see processes of others": foreign_processes,
        "see the environment of others": lambda: read("/proc/1/environ"),
        "see settings": lambda: os.listdir("/etc/appliance"),
        "see state": lambda: os.listdir("/var/lib/appliance"),
        "read /etc/shadow": lambda: read("/etc/shadow"),
        "read the log of the kernel": lambda: read("/dev/kmsg"),
        "read all memory": lambda: read("/dev/mem"),
        "set a setting of the kernel": lambda: Path("/proc/sys/kernel/hostname").write_text("x"),
        "make a cgroup": lambda: os.mkdir(f"{own_cgroup()}/below"),
        "lift its memory limit": lambda: Path(own_cgroup(), "memory.max").write_text("max"),
        "leave its cgroup": lambda: Path("/sys/fs/cgroup/cgroup.procs").write_text("0"),
        "see its keys": keys,
        "be sudo": sudo,
        "signal the first process": lambda: os.kill(1, 0),
        "be root": lambda: os.setuid(0),
        "be of root's group": lambda: os.setgid(0),
        "be of more groups": lambda: os.setgroups([0]),
        "have more processor": lambda: os.nice(-5),
        "be of real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
        "have real-time disk": lambda: call("ioprio_set", 1, 0, 1 << 13),
        "raise a limit": raise_limit,
        "reach the cloud's credentials": metadata,
        "ask the spawner": lambda: connect("/run/appliance/spawner.sock"),
        "ask the hub as root": lambda: connect("/run/appliance/admin.sock"),
        "ask systemd": lambda: connect("/run/systemd/private"),
        "listen to packets": lambda: open_socket(socket.AF_PACKET, socket.SOCK_RAW),
        "make packets": lambda: open_socket(socket.AF_INET, socket.SOCK_RAW),
        "use the kernel's ciphers": lambda: open_socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
        "use a socket to the hypervisor": lambda: open_socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "enter the first process": lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0),
        "trace the first process": lambda: call("ptrace", 16, 1, 0, 0),
        "read the first process": lambda: call("process_vm_readv", 1, attach, 1, attach, 1, 0),
        "be another personality": lambda: call("personality", 0x0040000),
        "mount": lambda: call("mount", b"tmpfs", b"/mnt", b"tmpfs", 0, b""),
        "unmount": lambda: call("umount2", b"/tmp", 0),
        "mount anew": lambda: call("fsopen", b"tmpfs", 0),
        "clone mounts": lambda: call("open_tree", -100, b"/", 1),
        "pivot the root": lambda: call("pivot_root", b"/", b"/"),
        "change the root": lambda: call("chroot", b"/"),
        "load a module": lambda: call("init_module", buffer, 64, b""),
        "load another kernel": lambda: call("kexec_load", 0, 0, None, 0),
        "set the clock": lambda: call("settimeofday", buffer, None),
        "set the name of the host": lambda: call("sethostname", b"x", 1),
        "switch off": lambda: call("reboot", 0xFEE1DEAD, 672274793, 0, 0),
        "swap": lambda: call("swapon", b"/tmp", 0),
        "account": lambda: call("acct", b"/tmp"),
        "use BPF": lambda: call("bpf", 0, buffer, 64),
        "measure others": lambda: call("perf_event_open", buffer, -1, 0, -1, 0),
        "open a file by its number": lambda: call("open_by_handle_at", -100, buffer, 0),
        "watch the file system": lambda: call("fanotify_init", 0, 0),
        "add a key": add_key,
        "have a keyring of its own": lambda: call("keyctl", 1, None) and None,
        "ask for the kernel's log": lambda: call("syslog", 3, buffer, 64),
        **{f"write to {place}": lambda place=place: write(place) for place in PLACES},
        **{f"unshare {w}": lambda flag=flag: call("unshare", flag) for w, flag in CLONES.items()},
        **{f"its {name}": lambda name=name: prctl_get(name) for name in PRCTL_GET},
        "its timers": lambda: [
            signal.getitimer(which) for which in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
        ],
        "its limits": lambda: [resource.getrlimit(number) for number in range(16)],
    }  # fmt: skip
    if "iopl" in CALLS:
        found["use the processor's ports"] = lambda: call("iopl", 3)
        found["have segments of its own"] = lambda: call("modify_ldt", 1, buffer, 16)
    return found


PLACES = (
    "/", "/boot", "/etc", "/home", "/mnt", "/opt/appliance", "/opt/appliance/user/bin", "/run",
    "/run/appliance", "/root", "/sys/fs/cgroup", "/tmp", "/usr/bin", "/var/lib", "/var/log",
    "/var/tmp", "/dev", "/dev/shm", "~",
)  # fmt: skip


def attempt(action: Callable[[], object]) -> str:
    """The outcome of one try, made in a child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        # Kernels have threads, and Python 3.12 says that the child hasn't.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(10)
        try:
            said = action()
            text = "done" if said is None else str(said)
        except OSError as error:
            text = errno.errorcode.get(error.errno or 0, str(error))
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else f"ended with {status}"


def main() -> str:
    if os.getuid() == 0:
        # It would be allowed to, and do it to the machine.
        raise SystemExit("forbidden.py is for users of a test machine, not for root")
    found = {name: attempt(action) for name, action in tries().items()}
    return json.dumps({"tried": found, "environment": dict(os.environ)})


if __name__ == "__main__":
    print(main())
