"""Becoming a process of the peer's unit: the same namespaces, limits, user and filters.

From entering the namespaces to having given up root, the file system is one that the user has a
say in. So in between nothing is opened, imported, looked up or logged; an exception ends the
process, and the caller sees to that.
"""

from __future__ import annotations

import os
import resource
import time
from typing import Final

from . import linux
from .peer import Own, Peer, RefusedError, is_ending

CONNECTION: Final = 3
"""The descriptor of the peer's connection in every process that serves one."""

_CAPABILITIES: Final = 64
_ORPHANED_SECONDS: Final = 2.0
_ORPHANED_LOOK_SECONDS: Final = 0.0002
_LAST_DESCRIPTOR: Final = 2**31 - 1


def join_cgroup(peer: Peer) -> None:
    """Move this process into the unit: what it uses from now on is the unit's.

    Whatever is in a unit when systemd ends it is ended, too; what comes later would be left over
    and out of everybody's sight. So the peer must be alive when this process is there.
    """
    os.write(peer.cgroup, b"0")
    if is_ending(peer):
        raise RefusedError("its unit is being stopped")


def wait_until_orphaned(parent: int) -> None:
    """Until init has adopted this process, so that systemd hears of its end."""
    deadline = time.monotonic() + _ORPHANED_SECONDS
    while os.getppid() == parent:
        if time.monotonic() > deadline:
            raise RefusedError("the process between did not end")
        time.sleep(_ORPHANED_LOOK_SECONDS)


def enter(peer: Peer, own: Own, null: int) -> None:
    """Be confined as the peer is; `null` is a descriptor of /dev/null.

    Of the descriptors, CONNECTION stays, and 0 to 2 are /dev/null. Raises OSError and RefusedError;
    the process is then in no state to go on with.
    """
    os.setsid()
    _set_scheduling(peer)
    _enter_namespaces(peer)
    _set_limits(peer, own)
    os.umask(peer.umask)
    for capability in range(_CAPABILITIES):
        bit = 1 << capability
        if own.bounding_set & bit and not peer.bounding_set & bit:
            linux.drop_from_bounding_set(capability)
    # Nobody who isn't root gets the daemon's journal, its socket, or what was opened to look at the
    # peer.
    for descriptor in range(CONNECTION):
        os.dup2(null, descriptor)
    os.closerange(CONNECTION + 1, _LAST_DESCRIPTOR)
    os.setgroups(peer.groups)
    os.setresgid(peer.gid, peer.gid, peer.gid)
    os.setresuid(peer.uid, peer.uid, peer.uid)
    linux.drop_all_capabilities()
    # Else this process keeps the one of the daemon; made by root it would be root's.
    linux.join_new_session_keyring()
    if peer.no_new_privileges:
        linux.set_no_new_privileges()
    for program in peer.filters:
        linux.add_filter(program)
    # A process that gave up root has a /proc/self of root's, which breaks psutil and debuggers.
    linux.set_dumpable()


def _set_scheduling(peer: Peer) -> None:
    """What systemd sets by CPU*=, IO*=, Nice= and OOMScoreAdjust=."""
    score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    os.write(score, peer.oom_score_adj)
    os.close(score)
    if os.sched_getaffinity(0) != peer.affinity:
        os.sched_setaffinity(0, peer.affinity)
    if os.sched_getscheduler(0) != peer.scheduler:
        os.sched_setscheduler(0, peer.scheduler, os.sched_param(peer.scheduler_priority))
    os.setpriority(os.PRIO_PROCESS, 0, peer.nice)
    linux.set_io_priority(peer.io_priority)


def _enter_namespaces(peer: Peer) -> None:
    for descriptor, kind in peer.namespaces:
        linux.setns(descriptor, kind)
    root = os.stat("/")
    if (root.st_dev, root.st_ino) != peer.root:
        raise RefusedError("its root directory is not that of its mounts")


def _set_limits(peer: Peer, own: Own) -> None:
    for number, limit in enumerate(peer.limits):
        if limit != own.limits[number]:
            resource.setrlimit(number, limit)
