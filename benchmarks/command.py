"""What the commands have in common: options, what the host needs, and cleaning up."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import image
from benchmarks.console import say
from benchmarks.installed import Stage
from benchmarks.machine import MachineError
from benchmarks.ours import Ours
from benchmarks.peer import Peer
from benchmarks.visitor import VisitError

_NEEDED: Final = ("systemd-nspawn", "mmdebstrap", "nsenter", "ip", "cp")


def parser(program: str, purpose: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    parser = argparse.ArgumentParser(prog=program, description=purpose)
    parser.add_argument(
        "--rounds", type=int, default=rounds, help="measurements of each figure (%(default)s)"
    )
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
    return parser


def measured(
    options: argparse.Namespace,
    measure: Callable[[Stage, Path], None],
    *,
    packages: tuple[str, ...] = (),
) -> bool:
    """Measure in a folder that is removed at the end; False, with a sentence, if it can't be."""
    missing = [command for command in _NEEDED if not shutil.which(command)]
    if missing:
        say(f"cannot run: there is no {', '.join(missing)}")
        say("to mend: apt-get install systemd-container mmdebstrap iproute2")
        return False
    if os.geteuid() != 0:
        say("cannot run: booting a machine needs root")
        return False
    # Both end by an exception, so that the machine is powered off and removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("cannot finish within --time-limit"))
    signal.alarm(60 * options.time_limit)
    journal = options.cache / "journal.txt"
    peer = Peer(installer=options.peer_installer, packages=packages)
    stage = Stage(image.base(options.cache), journal, peer, Ours(packages), options.only)
    folder = Path(tempfile.mkdtemp(dir=options.cache, prefix="run-"))
    try:
        measure(stage, folder)
    except (MachineError, VisitError) as error:
        say(f"{error}\nThe machine's journal, if it came so far, is in {journal}")
        return False
    finally:
        image.remove(folder)
    return True
