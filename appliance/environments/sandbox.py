"""Running what a package brings as nobody, in a unit that can't reach anything of the machine.

Packages that root installs are run by the preload daemons and by users later on; what is built from
source, and the check whether a new environment works, need no more rights than a stranger.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SECONDS: Final = 120
_CACHES: Final = Path("/var/cache")
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
    "Environment=HOME=/tmp LANG=C.UTF-8 PATH=/usr/bin:/bin",
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a confined program may write to: as root sees it, and as the program does."""

    outside: Path
    inside: Path


def has_units() -> bool:
    """Whether this is root on a machine whose systemd can start units."""
    return os.geteuid() == 0 and Path("/run/systemd/system").is_dir()


@contextmanager
def shared_folder() -> Iterator[Folder]:
    """Made for one program, deleted at the end.

    A unit's cache directory is behind /var/cache/private, which is root's alone, and becomes its
    user's when the unit starts: nobody else can put a file there.
    """
    if not has_units():
        with tempfile.TemporaryDirectory(prefix="appliance-build-") as name:
            yield Folder(Path(name), Path(name))
        return
    name = f"appliance-build-{os.getpid()}"
    private = _CACHES / "private"
    private.mkdir(mode=0o700, exist_ok=True)
    folder = Folder(private / name, _CACHES / name)
    shutil.rmtree(folder.outside, ignore_errors=True)
    folder.outside.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder.outside, ignore_errors=True)
        folder.inside.unlink(missing_ok=True)


def run_confined(
    command: Sequence[str | Path],
    *,
    folder: Folder | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: int = _SECONDS,
) -> subprocess.CompletedProcess[str]:
    """Run a program as nobody; raises OSError and TimeoutExpired.

    With a folder it may write there and use the network. In a trial everything is its owner's, and
    so is this.
    """
    words = [str(word) for word in command]
    variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    if has_units():
        properties = [*_PROPERTIES, f"RuntimeMaxSec={seconds}"]
        properties += _open_to(folder, environment or {}) if folder else ["PrivateNetwork=yes"]
        given = (f"--property={one}" for one in properties)
        words = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", *given, "--", *words]
    else:
        variables |= environment or {}
        variables["HOME"] = str(folder.inside if folder else tempfile.gettempdir())
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        cwd="/",
        timeout=seconds + 30,
        check=False,
    )


def _open_to(folder: Folder, environment: Mapping[str, str]) -> list[str]:
    """A unit's variables can be read by everybody, and a proxy's password may be among them; the
    file that they come from can't."""
    file = folder.outside / "environment"
    lines = [f"{name}={_quoted(value)}\n" for name, value in environment.items()]
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.writelines(lines)
    return [
        f"CacheDirectory={folder.inside.name}",
        f"EnvironmentFile={file}",
        # What a provider's machines ask for their keys is no package index.
        "IPAddressDeny=link-local",
    ]


def _quoted(value: str) -> str:
    """As systemd reads it, see systemd.exec(5)."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return f'"{escaped}"'.replace("`", "\\`").replace("\n", " ")
