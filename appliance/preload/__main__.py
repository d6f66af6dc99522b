"""A preload daemon: `python -m appliance.preload server`, or `kernel`; as root."""

from __future__ import annotations

import gc
import grp
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.singleuser.listening import notify

from .daemon import Daemon, forget_signals, listen, reserve_connection
from .import_guard import importing_from
from .import_path import Stamp, check
from .linux import is_known_machine
from .options import OptionsError, read_options
from .peer import CGROUPS

KINDS: Final = ("server", "kernel")
SOCKETS: Final = Path("/run/appliance/preload")
# Whoever is in no such group has no server either.
USERS_GROUP: Final = "appliance-users"

# sysexits.h; the units say RestartPreventExitStatus=78, and starting again would not help.
EX_USAGE: Final = 64
EX_CONFIG: Final = 78


class CannotRunError(Exception):
    """This machine or environment isn't fit for it; the message says why, and what to do."""


def main(words: Sequence[str]) -> int:
    """Serve until told to stop; the exit status."""
    if len(words) != 1 or words[0] not in KINDS:
        _say(f"usage: python -m appliance.preload {'|'.join(KINDS)}")
        return EX_USAGE
    (kind,) = words
    try:
        daemon = _prepare(kind)
    except (CannotRunError, OptionsError) as err:
        for line in f"cannot preload {kind}s: {err}".splitlines():
            _say(f"<3>{line}")
        return EX_CONFIG
    except Exception:  # noqa: BLE001 - what is loaded is others' code, and would fail again
        _say("".join(f"<3>{line}" for line in traceback.format_exc().splitlines(keepends=True)))
        _say(f"<3>cannot preload {kind}s: what is loaded for them fails")
        return EX_CONFIG
    _say(f"<6>starting anew: {daemon.serve()}")
    return 0


def _prepare(kind: str) -> Daemon:
    """Load everything, and listen; raises CannotRunError, OptionsError, and what modules raise."""
    options = read_options()
    check_machine()
    check_import_path()
    # Garbage collection would write into every object, and so copy it for every child.
    gc.disable()
    with importing_from(sys.path):
        template = importlib.import_module(f"appliance.preload.{kind}")
        # Without -I the first is this daemon's own directory, where a rehearsal writes.
        stamp = Stamp.of([path for path in sys.path if path not in ("", os.getcwd())])
        remarks = template.load(options)
    for remark in remarks:
        _say(f"<5>{remark}")
    check_clean()
    environment = dict(os.environ)
    os.environ.clear()
    gc.collect()
    gc.freeze()
    reserve_connection()
    forget_signals()
    return Daemon(
        kind=kind,
        template=template,
        listener=listen(SOCKETS / f"{kind}.sock", group=grp.getgrnam(USERS_GROUP).gr_gid),
        has_changed=stamp.has_changed,
        say=lambda message: notify(message, environment),
    )


def check_machine() -> None:
    """Raise CannotRunError where the daemon's checks could not be made."""
    if os.geteuid() != 0:
        raise CannotRunError("it must be root to enter users' units")
    if not is_known_machine():
        raise CannotRunError(f"the system calls of {os.uname().machine} are not known to it")
    if not (CGROUPS / "cgroup.procs").exists():
        raise CannotRunError("this machine does not have cgroup v2 at /sys/fs/cgroup")


def check_import_path() -> None:
    """Raise CannotRunError if anybody but root could change what is imported."""
    problems = check(sys.path)
    if problems:
        raise CannotRunError("others could change what it runs as root:\n" + "\n".join(problems))


def check_clean() -> None:
    """Raise CannotRunError if a fork of this process would have something of it that it must not.

    Threads don't survive a fork and leave their locks taken; a descriptor of root's would be open
    in everybody's servers.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise CannotRunError(f"what was imported has started {threads - 1} threads")
    with os.scandir("/proc/self/fd") as entries:
        numbers = {int(entry.name) for entry in entries}
    # Reading the directory takes one more.
    extra = sorted(number for number in numbers if number > 2)[:-1]
    if extra:
        names = ", ".join(os.readlink(f"/proc/self/fd/{number}") for number in extra)
        raise CannotRunError(f"what was imported has left open: {names}")


def _say(text: str) -> None:
    """To the journal, by sd-daemon(3)."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
