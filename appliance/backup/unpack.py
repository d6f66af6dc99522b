"""Unpacking archives: as the account whose files they are, wherever that is possible.

What only root can unpack (whose files have several owners) is gone through first: nothing in it may
lead out of the folder that it is unpacked in, and it holds no devices. GNU tar itself makes links
last, so nothing is written through one.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

from appliance.backup.errors import BackupError, Hostile
from appliance.backup.manifest import Part
from appliance.backup.members import has_roots_power, is_of_files
from appliance.backup.place import Backup
from appliance.backup.streams import Sum, Summing, damaged, load, piped
from appliance.backup.tar import ENVIRONMENT

_UNPACK: Final = (
    "tar", "--extract", "--file=-", "--preserve-permissions", "--numeric-owner",
    "--delay-directory-restore", "--warning=no-timestamp", "--warning=no-unknown-keyword",
    "--quoting-style=escape", "--acls", "--xattrs",
)  # fmt: skip
_COMPLAINTS_MAX: Final = 2**20
_LINE_MAX: Final = 500


def check_member(member: tarfile.TarInfo, part: str) -> None:
    """Raise Hostile for what would be written elsewhere, or has more power than files have."""
    paths = [member.name]
    if member.islnk():
        paths.append(member.linkname)
    for path in paths:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise _hostile(part, f"{path[:200]!r} leads out of the folder")
    if not is_of_files(member):
        raise _hostile(part, f"{member.name[:200]!r} is a device, or of an unknown kind")
    if has_roots_power(member):
        raise _hostile(part, f"{member.name[:200]!r} would run with root's rights")


def _hostile(part: str, why: str) -> Hostile:
    return Hostile(
        f"cannot unpack {part}",
        why=why,
        mend="somebody else made or changed this backup; choose another one",
    )


def unpack(
    backup: Backup,
    part: Part,
    target: Path,
    *,
    identities: Sequence[Any],
    keep_owners: bool,
    prefix: Sequence[str] = (),
    only: str = "",
    by_path: bool = False,
) -> None:
    """Unpack a part into a folder that is there.

    `prefix` goes before the command, such as what makes it another account's; `only` is one path
    in the archive. The program begins in the folder, so that only root needs a way to it, unless
    `by_path`. Raises BackupError when something of it could not be written.
    """
    content = Summing()
    sums: list[Sum] = []

    def feed(pipe: Any) -> None:
        class Both:
            def write(self, data: bytes) -> int:
                content.write(data)
                return int(pipe.write(data))

        sums.append(
            load(
                backup.folder,
                part,
                Both(),
                sealed=backup.manifest.is_encrypted,
                identities=identities,
            )
        )

    owners = "--same-owner" if keep_owners and os.geteuid() == 0 else "--no-same-owner"
    command = [*prefix, *_UNPACK, owners, f"--directory={target if by_path else '.'}"]
    if only:
        command += ["--no-wildcards", "--", only]
    # A line for each of a million files is no matter for the memory.
    with tempfile.TemporaryFile() as complaints:
        with piped(feed) as reading:
            done = subprocess.run(
                command, stdin=reading, stdout=subprocess.DEVNULL, stderr=complaints,
                check=False, env=ENVIRONMENT, cwd="/" if by_path else target,
            )  # fmt: skip
        complaints.seek(0)
        text = complaints.read(_COMPLAINTS_MAX).decode(errors="replace")
    if done.returncode:
        said = [
            line.removeprefix("tar: ")[:_LINE_MAX]
            for line in text.splitlines()
            if "Exiting with failure" not in line
        ]
        raise BackupError(
            f"cannot unpack {part.name}",
            why=said[0] if said else f"tar ended with {done.returncode}",
            mend=f"see whether the disk is full: df -h {target}",
            log=tuple(said[1:6]),
        )
    found = content.sum
    if not only and (sums[0], found) != (
        Sum(part.size, part.sha256), Sum(part.content_size, part.content_sha256),
    ):  # fmt: skip
        raise damaged(backup.folder, part.file, "it isn't what was written")


def as_user(uid: int) -> list[str]:
    """What goes before a command so that it is a user's, by number; root's rights are gone."""
    if os.geteuid() != 0:
        return []
    return [
        "setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--inh-caps=-all",
        "--bounding-set=-all", "--no-new-privs", "--",
    ]  # fmt: skip


def in_sandbox(account: str, folder: Path) -> list[str]:
    """The same while that user's server runs: confined at least as the server is."""
    if os.geteuid() != 0:
        return []
    return [
        "systemd-run", "--quiet", "--pipe", "--wait", "--collect", "--service-type=exec",
        f"--property=User={account}", f"--property=Group={account}",
        "--property=NoNewPrivileges=yes", "--property=ProtectSystem=strict",
        "--property=ProtectHome=tmpfs", f"--property=BindPaths={folder}",
        "--property=PrivateTmp=yes", "--property=PrivateDevices=yes",
        "--property=PrivateNetwork=yes", "--property=ProtectProc=invisible",
        "--property=RestrictNamespaces=yes", "--property=CapabilityBoundingSet=",
        "--property=InaccessiblePaths=-/etc/appliance", "--property=MemoryMax=256M",
        "--property=UMask=0077", "--",
    ]  # fmt: skip
