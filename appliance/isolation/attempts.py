"""What is tried, what should come of it, and how root sees whether it did."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from appliance.isolation.scene import TEMPORARY, Scene, ask, state_of
from appliance.names import ServerId, Username
from appliance.systemd_spawner.properties import METADATA_ADDRESSES

REFUSED: Final = "refused"
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
_OUTSIDE: Final = ("/etc", "/usr/local", "/opt/appliance", "/srv/appliance", "/var/lib")
# Where systemd-coredump, apport, and a kernel without either leave them.
_CORES: Final = (
    "/var/lib/systemd/coredump", "/var/crash", "/var/lib/apport/coredump", "/var/tmp", "/tmp",  # noqa: S108
)  # fmt: skip
_STRANGE_UNIT: Final = "appliance-isolation-attempt"


class Verdict(StrEnum):
    """How it went."""

    OK = "ok"
    FAILED = "failed"
    OPEN = "open"
    """It is possible, and that is no fault: documentation says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the student's program tells of a try."""

    done: bool
    text: str
    error: str

    def __str__(self) -> str:
        return self.text[:120] if self.done else (self.error or self.text[:120])


Judge = Callable[[Scene, Said], str]
"""What went wrong, as root sees it; "" if nothing did."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try."""

    name: str
    what: str
    tried: tuple[Any, ...]
    """A kind of probe.py's, and its arguments."""
    judge: Judge
    expected: str = REFUSED
    is_open: bool = False
    """That it works is known and documented."""


def not_done(_scene: Scene, said: Said) -> str:
    return f"it was done: {said}" if said.done else ""


def no_secret(scene: Scene, said: Said) -> str:
    return "the neighbour's secret was read" if scene.secret in said.text else not_done(scene, said)


def _not_there(path: str) -> Judge:
    """Root looks for what would have been written, whatever was said."""

    def judge(_scene: Scene, said: Said) -> str:
        if os.path.lexists(path):
            os.unlink(path)  # noqa: PTH108
            return f"{path} was written"
        return f"it was done: {said}" if said.done else ""

    return judge


def _goes_on(scene: Scene, said: Said) -> str:
    pid = scene.neighbour.kernel_pid
    state = state_of(pid)
    if state == "T":
        os.kill(pid, signal.SIGCONT)
        return "the neighbour's kernel was stopped"
    return not_done(scene, said) if state else "the neighbour's kernel is gone"


def _untraced(scene: Scene, said: Said) -> str:
    status = Path(f"/proc/{scene.neighbour.kernel_pid}/status").read_text()
    traced = "TracerPid:\t0\n" not in status
    return "the neighbour's kernel is traced" if traced else not_done(scene, said)


def _no_others(scene: Scene, said: Said) -> str:
    numbers = {str(scene.neighbour.kernel_pid), str(scene.neighbour.server_pid), "1"}
    seen = numbers & set(said.text.split())
    return f"it sees the processes {' '.join(sorted(seen))}" if seen else ""


def _no_unit(scene: Scene, said: Said) -> str:
    state = ask("systemctl", "show", "--property=LoadState", "--value", f"{_STRANGE_UNIT}.service")
    if state not in ("not-found", ""):
        return "systemd started a unit for it"
    return not_done(scene, said)


def _not_root(scene: Scene, said: Said) -> str:
    del scene
    return "it became root" if said.done and said.text.split()[-1:] == ["0"] else ""


def _not_logged(scene: Scene, said: Said) -> str:
    return "it reads the journal" if scene.secret in said.text else ""


def _refused_by_hub(_scene: Scene, said: Said) -> str:
    return "" if said.text in ("403", "404", "405") else f"the answer is {said}"


def _no_process(_scene: Scene, said: Said) -> str:
    return "the daemon made a process" if said.text.startswith("OK") else ""


def _metadata(_scene: Scene, said: Said) -> str:
    if said.done:
        return "the provider's credentials can be asked for"
    if said.error in ("EPERM", "EACCES") or filters_packets():
        return ""
    return f"nothing answered ({said}), and this kernel can't keep it from asking"


def filters_packets() -> bool:
    """Whether the kernel filters by unit; systemd counts a unit's packets only where it does."""
    counted = ask("systemctl", "show", "--property=IPIngressBytes", "--value",
                  "appliance-spawner.service")  # fmt: skip
    return counted.isdecimal() and int(counted) < 2**63


def attempts(scene: Scene) -> Iterator[Attempt]:
    """Everything, in the order of the report."""
    yield from _at_the_neighbour(scene)
    yield from _at_the_hub(scene)
    yield from _at_the_machine(scene)


def _at_the_neighbour(scene: Scene) -> Iterator[Attempt]:
    one, mark = scene.neighbour, scene.mark
    home, pid = str(one.home), one.kernel_pid
    written = f"{home}/{mark}-written"
    socket = scene.places.server_sockets / ServerId(Username(one.user)).socket_path
    runtime = f"/run/appliance-user/{one.uid}"
    yield Attempt("home: read", "read a file in the neighbour's home",
                  ("read", f"{home}/{mark}"), no_secret)  # fmt: skip
    yield Attempt("home: list", "list the neighbour's home", ("list", home), not_done)
    yield Attempt("home: write", "write into the neighbour's home",
                  ("write", written), _not_there(written))  # fmt: skip
    for folder in TEMPORARY:
        yield Attempt(f"{folder}: read", f"read the neighbour's file in {folder}",
                      ("read", f"{folder}/{mark}"), no_secret)  # fmt: skip
    yield Attempt("processes: see", "see processes of others", ("others",), _no_others,
                  expected="none are seen")  # fmt: skip
    yield Attempt("processes: environment", "read the neighbour's environment",
                  ("read", f"/proc/{pid}/environ"), not_done)  # fmt: skip
    yield Attempt("processes: memory", "read the neighbour's memory",
                  ("read", f"/proc/{pid}/mem"), not_done)  # fmt: skip
    yield Attempt("processes: stop", "stop the neighbour's kernel", ("stop", pid), _goes_on)
    yield Attempt("processes: trace", "trace the neighbour's kernel", ("trace", pid), _untraced)
    yield Attempt("server: connect", "connect to the neighbour's server",
                  ("unix", str(socket)), not_done)  # fmt: skip
    yield Attempt("kernel: find", "find the sockets of the neighbour's kernels",
                  ("list", runtime), not_done)  # fmt: skip
    yield Attempt("token: read", "read the token of the neighbour's server",
                  ("read", f"/run/credentials/{one.unit}/token"), not_done)  # fmt: skip
    yield Attempt("keyring: read", "read a key in the neighbour's keyring",
                  ("key", scene.key), no_secret)  # fmt: skip
    yield Attempt("core dumps: read", "read what is left of others' programs that crashed",
                  ("others-files", *_CORES), not_done)  # fmt: skip
    yield from _at_classes(scene)
    yield Attempt("loopback: connect", "connect to a port that the neighbour's program opened",
                  ("tcp", "127.0.0.1", scene.port), not_done,
                  expected="possible: programs on one machine share its ports",
                  is_open=True)  # fmt: skip


def _at_classes(scene: Scene) -> Iterator[Attempt]:
    """The two accounts are in no class, so every folder is one of others."""
    classes = scene.places.class_files / "classes"
    yield Attempt("classes: list", "list the folders of classes", ("list", str(classes)), not_done)
    first = next(iter(sorted(classes.iterdir())), None) if classes.is_dir() else None
    if first is not None:
        written = f"{first}/{scene.mark}-written"
        yield Attempt("class: list", f"list {first}, the folder of a class of others",
                      ("list", str(first)), not_done)  # fmt: skip
        yield Attempt("class: write", f"write into {first}",
                      ("write", written), _not_there(written))  # fmt: skip


def _at_the_hub(scene: Scene) -> Iterator[Attempt]:
    places = scene.places
    for name, path in (
        ("hub.sock", places.hub_socket),
        ("admin.sock", places.admin_socket),
        ("spawner.sock", places.spawner_socket),
    ):
        yield Attempt(f"{name}: connect", f"connect to {path}", ("unix", str(path)), not_done)
    for kind in ("server", "kernel"):
        yield Attempt(f"preload {kind}: ask", "ask the preload daemon as the neighbour",
                      ("preload", str(places.preload_sockets / f"{kind}.sock"),
                       scene.neighbour.kernel_pid), _no_process)  # fmt: skip
    user = f"/users/{scene.neighbour.user}"
    for name, method, below in (
        ("hub: read user", "GET", user),
        ("hub: stop server", "DELETE", f"{user}/server"),
        ("hub: make admin", "PATCH", f"/users/{scene.attacker.user}"),
        ("hub: shut down", "POST", "/shutdown"),
    ):
        yield Attempt(name, f"{method} /hub/api{below} with the server's own token",
                      ("hub", str(places.api_socket), method, f"/hub/api{below}"),
                      _refused_by_hub, expected="403 or 404")  # fmt: skip
    for address in METADATA_ADDRESSES:
        yield Attempt(f"metadata: {address}", f"ask {address} for the machine's credentials",
                      ("tcp", address, 80), _metadata)  # fmt: skip


def _at_the_machine(scene: Scene) -> Iterator[Attempt]:
    for path in ("/etc/shadow", str(scene.places.config_file)):
        yield Attempt(f"{path}: read", f"read {path}", ("read", path), not_done)
    yield Attempt("state: list", f"list {scene.places.state}",
                  ("list", str(scene.places.state)), not_done)  # fmt: skip
    yield Attempt("journal: read", "read what others wrote to the journal",
                  ("run", "journalctl", "-q", "--no-pager", "-n", "50", "-t",
                   "appliance-isolation"), _not_logged)  # fmt: skip
    for folder in _OUTSIDE:
        path = f"{folder}/{scene.mark}"
        yield Attempt(f"{folder}: write", f"write into {folder}",
                      ("write", path), _not_there(path))  # fmt: skip
    yield Attempt("systemd: start", "have systemd start a unit",
                  ("run", "systemd-run", "--no-ask-password", "--collect",
                   f"--unit={_STRANGE_UNIT}", "sleep", "30"), _no_unit)  # fmt: skip
    yield Attempt("systemd: environment", "read the environment of the neighbour's unit",
                  ("run", "systemctl", "show", "--property=Environment", scene.neighbour.unit),
                  not_done)  # fmt: skip
    yield Attempt("sudo", "become root by sudo", ("run", "sudo", "-n", "id", "-u"), _not_root)
    yield Attempt("su", "become root by su", ("run", "su", "-c", "id -u"), _not_root)
    yield Attempt("setuid", "make a file that runs as its owner",
                  ("setuid", f"{scene.attacker.home}/{scene.mark}-setuid"), not_done)  # fmt: skip
    for name, flag in (
        ("user", _CLONE_NEWUSER), ("mount", _CLONE_NEWNS), ("network", _CLONE_NEWNET),
    ):  # fmt: skip
        yield Attempt(f"namespace: {name}", f"make a {name} namespace", ("unshare", flag), not_done)
    yield Attempt("mount", "mount a file system", ("mount", "/tmp"), not_done)  # noqa: S108
    yield Attempt("trace: first process", "trace the machine's first process",
                  ("trace", 1), not_done)  # fmt: skip


def controls(scene: Scene) -> dict[str, list[Any]]:
    """What must work, or the program that tries would fail at everything for another reason."""
    own = f"{scene.attacker.home}/{scene.mark}-own"
    return {
        "write at home": ["write", own],
        "read it": ["read", own],
        "reach the hub's API": ["unix", str(scene.places.api_socket)],
        "be the process that root sees": ["self"],
    }
