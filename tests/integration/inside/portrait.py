"""Everything that /proc says of how a process is confined, as JSON: `portrait.py PID DAEMON`.

What differs from one start to the next by nature is left out or given a common name: numbers of
processes, mounts, devices and inodes, and how much memory and time were used.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from pathlib import Path

OWN_FILES = (
    "cgroup", "limits", "oom_score_adj", "attr/current", "coredump_filter", "timerslack_ns",
    "personality", "loginuid", "sessionid", "setgroups", "uid_map", "gid_map", "projid_map",
    "cpuset", "comm", "timers", "patch_state", "seccomp_cache", "timens_offsets",
)  # fmt: skip
NAMESPACES = (
    "cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user",
    "uts",
)  # fmt: skip
# Numbers, whether it computes at this moment, what was used, and how far a table has grown.
DIFFERENT_BY_NATURE = re.compile(
    r"^(State|Pid|Tgid|Ngid|NS\w+|Vm\w+|Rss\w+|HugetlbPages|SigQ|FDSize|Threads|\w*ctxt_switches):"
)
IOPRIO_GET = {"x86_64": 252, "aarch64": 31}


def status(process: Path) -> list[str]:
    lines = (process / "status").read_text().splitlines()
    return [line for line in lines if not DIFFERENT_BY_NATURE.match(line)]


def scheduling(pid: int, process: Path) -> dict[str, object]:
    """By the fields of proc_pid_stat(5), counted as there."""
    fields = ["", "", "", *(process / "stat").read_text().rpartition(")")[2].split()]
    ioprio_get = IOPRIO_GET[os.uname().machine]
    return {
        "leads its process group": int(fields[5]) == pid,
        "leads its session": int(fields[6]) == pid,
        "controlling terminal": fields[7],
        "priority": fields[18],
        "nice": fields[19],
        "exit signal": fields[38],
        "realtime priority": fields[40],
        "policy": fields[41],
        "io priority": ctypes.CDLL(None).syscall(ioprio_get, 1, pid),
        "affinity": sorted(os.sched_getaffinity(pid)),
        "nice of its session": re.sub(r"\d+ ", "N ", optional(process / "autogroup")),
    }


def mounts(process: Path) -> list[str]:
    """Mount points with source, root, options, and whether they hear of others; in their order."""
    lines = []
    for line in (process / "mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        _, _, device, root, point, options, *propagation = before.split()
        if device.startswith("0:"):
            device = "0:?"
        kinds = [word.partition(":")[0] for word in propagation]
        lines.append(unnumbered(" ".join([point, root, device, options, *kinds, after])))
    return lines


def namespaces(process: Path, daemon: Path) -> dict[str, str]:
    """Whose each namespace is: of the whole machine, the preload daemon's, or its own."""
    found = {}
    for name in NAMESPACES:
        mine = os.readlink(process / "ns" / name)
        if mine == os.readlink(f"/proc/1/ns/{name}"):
            found[name] = "the machine's"
        elif daemon.exists() and mine == os.readlink(daemon / "ns" / name):
            found[name] = "the daemon's"
        else:
            found[name] = "its own"
    return found


def descriptors(process: Path) -> list[str]:
    """The three standard ones by number, the rest by kind; of sockets, what they are bound to."""
    bound = {}
    for line in (process / "net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        bound[fields[6]] = f"flags {fields[3]} type {fields[4]} {' '.join(fields[7:])}"
    found = []
    for entry in sorted((process / "fd").iterdir(), key=lambda entry: int(entry.name)):
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue
        inode = target.removeprefix("socket:[").removesuffix("]")
        kind = re.sub(r"\[\d+\]", "", target)
        flags = re.search(r"flags:\s*(\d+)", (process / "fdinfo" / entry.name).read_text())
        mode = flags[1] if flags else ""
        number = entry.name if int(entry.name) < 3 else "more"
        found.append(unnumbered(f"{number} {kind} {mode} {bound.get(inode, '')}".strip()))
    return sorted(found)


def optional(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def unnumbered(text: str) -> str:
    """Names that systemd and Jupyter make up anew at each start."""
    text = re.sub(r"systemd-private-\w+-(.*?\.service)-\w+", r"systemd-private-\1", text)
    text = re.sub(r"kernel-[\da-f]{8}-[\da-f-]{27}", "kernel-?", text)
    text = re.sub(r"jpserver-\d+", "jpserver-?", text)
    return re.sub(r"/\.#[\w.-]+", "/.#?", text)


def portrait(pid: int, daemon: int) -> dict[str, object]:
    process = Path(f"/proc/{pid}")
    shown = (process / "cmdline").read_bytes().strip(b"\0").replace(b"\0", b" ").decode()
    unit = Path("/sys/fs/cgroup" + (process / "cgroup").read_text().partition("::")[2].strip())
    return {
        "status": status(process),
        "scheduling": scheduling(pid, process),
        "mounts": mounts(process),
        "namespaces": namespaces(process, Path(f"/proc/{daemon}")),
        "descriptors": descriptors(process),
        "shown by ps": unnumbered(shown),
        "program": os.readlink(process / "exe"),
        "directory": os.readlink(process / "cwd"),
        "root": os.readlink(process / "root"),
        "owner of /proc/PID/environ": (process / "environ").stat().st_uid,
        "processes of the unit": len((unit / "cgroup.procs").read_text().split()),
        **{name: optional(process / name) for name in OWN_FILES},
    }


if __name__ == "__main__":
    print(json.dumps(portrait(int(sys.argv[1]), int(sys.argv[2]))))
