"""A test machine for a person: boots one, opens a shell in it, throws it away after `exit`.

    python -m tests.integration [bookworm|trixie] [--installed]

The address it prints works in a browser on this host, too. With --make it only makes the disks
that most tests start from, of every Debian, and keeps them.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys

from tests.integration.images import Debian
from tests.integration.installed import installed_image
from tests.integration.machine import Machine


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.integration", description=__doc__)
    parser.add_argument("debian", nargs="?", type=Debian, default=Debian.BOOKWORM)
    parser.add_argument("--installed", action="store_true", help="with the appliance of this tree")
    parser.add_argument("--make", action="store_true", help="make all disks and boot nothing")
    options = parser.parse_args()
    if options.make:
        for debian in Debian:
            installed_image(debian)
        return
    installed = installed_image(options.debian) if options.installed else None
    with Machine(options.debian, image=installed.image if installed else None) as machine:
        sys.stderr.write(f"address  {machine.http_base}\nssh      {machine.ssh_command}\n")
        if installed:
            sys.stderr.write(f"set-up   {installed.setup_link(machine.http_base)}\n")
        subprocess.run([*shlex.split(machine.ssh_command), "-t"], check=False)
        machine.allowed.left_units.append("")


if __name__ == "__main__":
    main()
