"""A preload daemon without root and units: for each connection it forks and serves the request.

`python -m tests.fakes.preload_child SOCKET`. What a daemon checks and enters needs systemd, and is
tried on test machines.
"""

from __future__ import annotations

import os
import socket
import sys

from appliance.preload.child import serve_request
from appliance.preload.daemon import reserve_connection


class Template:
    """Runs the Python code that it is given."""

    def refuses(self, args: list[str], environ: dict[str, str]) -> str:
        return environ.get("REFUSE", "")

    def run(self, args: list[str]) -> int:
        exec(args[0], {"__name__": "__main__"})  # noqa: S102 - the tests' own code
        return 0


def main(path: str) -> None:
    reserve_connection()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    while True:
        connection, _ = listener.accept()
        if not os.fork():
            listener.detach()
            os.dup2(connection.detach(), 3)
            os.closerange(4, 100)
            serve_request("kernel", Template())
        connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
