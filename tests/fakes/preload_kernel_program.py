"""A preload daemon for kernels without root, units and checks: `python FILE ROOT SOCKET PACKAGES`.

PACKAGES is a list in JSON. When it listens it says what it loaded, as a line of JSON on standard
output. It runs in whichever environment the kernels are for: standard library only.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main(root: str, path: str, packages: str) -> None:
    sys.path[0] = root
    gc.disable()
    child, daemon, kernel, options = (
        importlib.import_module(f"appliance.preload.{name}")
        for name in ("child", "daemon", "kernel", "options")
    )
    del sys.path[0]
    wanted = options.Options(servers=False, kernels=True, packages=tuple(json.loads(packages)))
    remarks = kernel.load(wanted)
    gc.collect()
    gc.freeze()
    found = {
        "remarks": remarks,
        "threads": len(list(Path("/proc/self/task").iterdir())),
        "files": open_files(),
        "environ": dict(os.environ),
        "cpu": time.process_time(),
    }
    daemon.reserve_connection()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    os.write(1, json.dumps(found).encode() + b"\n")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            os.dup2(connection.fileno(), 3, inheritable=False)
            connection.close()
            listener.close()
            os.setsid()
            child.serve_request("kernel", kernel)
        connection.close()


def open_files() -> list[int]:
    files = list(Path("/proc/self/fd").iterdir())
    # The one that listed them is gone by now.
    return sorted(int(file.name) for file in files if file.is_symlink())


if __name__ == "__main__":
    main(*sys.argv[1:])
