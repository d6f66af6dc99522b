"""Running what a package brings as nobody, in a unit that can't reach anything of the machine.

Packages that root installs are run by the preload daemons and by users later on; what is built from
source, and the check whether a new environment works, need no more rights than a stranger.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_SECONDS: Final = 120
_PROPERTIES: Final = (
    "DynamicUser=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectProc=invisible",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "UMask=0022",
    "MemoryMax=2G",
    "TasksMax=500",
    "InaccessiblePaths=-/etc/appliance -/var/lib/appliance -/run/appliance",
)


def has_units() -> bool:
    """Whether this is root on a machine whose systemd can start units."""
    return os.geteuid() == 0 and Path("/run/systemd/system").is_dir()


def run_confined(
    command: Sequence[str | Path],
    *,
    network: bool = False,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: int = _SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a program as nobody, who may write into `folder` alone; raises OSError, TimeoutExpired.

    In a trial everything is its owner's, and so is this.
    """
    words = [str(word) for word in command]
    inherited = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **(environment or {})}
    if has_units():
        words = [*_unit_words(network=network, folder=folder, seconds=seconds), "--", *words]
        for name, value in inherited.items():
            words[1:1] = [f"--setenv={name}={value}"]
        inherited = {"PATH": "/usr/bin:/bin"}
    elif folder:
        inherited["HOME"] = str(folder)
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=inherited,
        cwd="/",
        timeout=seconds + 30,
        check=False,
    )


def _unit_words(*, network: bool, folder: Path | None, seconds: int) -> list[str]:
    properties = [*_PROPERTIES, f"RuntimeMaxSec={seconds}"]
    properties.append("IPAddressDeny=link-local" if network else "PrivateNetwork=yes")
    if folder:
        properties += [f"BindPaths={folder}:/build", "Environment=HOME=/tmp"]
    else:
        properties += ["Environment=HOME=/tmp"]
    return [
        "systemd-run",
        "--quiet",
        "--wait",
        "--pipe",
        "--collect",
        *(f"--property={one}" for one in properties),
    ]
