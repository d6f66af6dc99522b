"""Give a process a number that was another's: `recycle.py NUMBER ACCOUNT CGROUP`, as root.

clone3(2) lets root choose. The process sleeps, as the account, in the cgroup.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import struct
import sys
import time

CLONE3 = 435


def main() -> None:
    number, account, cgroup = int(sys.argv[1]), pwd.getpwnam(sys.argv[2]), sys.argv[3]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    wanted = (ctypes.c_int * 1)(number)
    # flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, its size
    arguments = struct.pack(
        "10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1
    )  # fmt: skip
    deadline = time.monotonic() + 3
    while (child := libc.syscall(CLONE3, arguments, len(arguments))) == -1:
        if time.monotonic() > deadline:
            sys.exit(os.strerror(ctypes.get_errno()))
        time.sleep(0.01)
    if child == 0:
        with open(f"/sys/fs/cgroup{cgroup}/cgroup.procs", "w") as procs:
            procs.write("0")
        os.setgroups([account.pw_gid])
        os.setresgid(*[account.pw_gid] * 3)
        os.setresuid(*[account.pw_uid] * 3)
        print("done", flush=True)
        time.sleep(60)
        os._exit(0)
    os.waitpid(child, 0)


main()
