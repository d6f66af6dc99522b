"""`python3 -m benchmarks`: make a machine, install both sides, measure them in turns."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks import image, report
from benchmarks.console import say
from benchmarks.machine import MachineError
from benchmarks.peer import Peer
from benchmarks.run import Run
from benchmarks.visitor import VisitError

_NEEDED: Final = ("systemd-nspawn", "mmdebstrap", "nsenter", "ip", "cp")


def main() -> int:
    """Measure, print, clean up; 1 with a sentence if the host can't do it."""
    options = _options()
    missing = [command for command in _NEEDED if not shutil.which(command)]
    if missing:
        say(f"cannot run: there is no {', '.join(missing)}")
        say("to mend: apt-get install systemd-container mmdebstrap iproute2")
        return 1
    if os.geteuid() != 0:
        say("cannot run: booting a machine needs root")
        return 1
    # Both end by an exception, so that the machine is powered off and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("cannot finish within --time-limit"))
    signal.alarm(60 * options.time_limit)
    base, journal = image.base(options.cache), options.cache / "journal.txt"
    peer = Peer(installer=options.peer_installer)
    run = Run(base, options.rounds, journal, options.only, peer)
    folder = Path(tempfile.mkdtemp(dir=options.cache, prefix="run-"))
    try:
        run.measure(folder)
    except (MachineError, VisitError) as error:
        say(f"{error}\nThe machine's journal, if it came so far, is in {journal}")
        return 1
    finally:
        image.remove(folder)
    table = report.table(run.figures, run.about)
    if options.json:
        say(f"done\n{table}")
    print(report.as_json(run.figures, run.about) if options.json else table)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each figure")
    parser.add_argument("--only", choices=["peer", "ours"], help="measure one side alone")
    parser.add_argument(
        "--peer-installer",
        choices=["pip", "uv"],
        default="pip",
        help="what installs the peer's Python packages: pip, as it documents, or uv",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("/var/cache/hub-appliance-benchmarks"),
        help="folder for the base file system and the run's machine (about 5 GB)",
    )
    parser.add_argument(
        "--time-limit", type=int, default=30, metavar="MINUTES", help="give up after this time"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
