"""Which program users' servers are: the appliance's own, or JupyterHub's as its package has it.

Standard library only: the root daemon, the trial's spawner and the check of a new setting ask here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from appliance.errors import SpawnRefused
from appliance.places import Places

APPLIANCE: Final = "appliance"
STOCK: Final = "jupyterhub-singleuser"

# What both were tried with, and what comes after them.
_OLDEST_MAJOR: Final = 5
_SOCKET_PROXY: Final = Path("/usr/lib/systemd/systemd-socket-proxyd")
_CLIENT: Final = "lib/python3*/site-packages/appliance/preload/client.py"
_MEND: Final = (
    "sudo appliance env install jupyterhub; or appliance config set servers.program appliance"
)


def server_command(places: Places, program: str) -> list[str]:
    """The server's command: with -I nothing in the user's home changes what it imports."""
    module = "appliance.singleuser.stock" if program == STOCK else "appliance.singleuser"
    return [f"{places.user_environment}/bin/python", "-I", "-m", module]


def preloaded_command(places: Places, cold: list[str]) -> list[str]:
    """The command that asks the preload daemon for a server, and becomes `cold` if there is none.

    An environment of an older version doesn't have the script that asks. With -S it starts in a few
    milliseconds: nothing of the environment is imported.
    """
    found = sorted(places.user_environment.glob(_CLIENT))
    if not found:
        return cold
    socket = str(places.preload_sockets / "server.sock")
    return [cold[0], "-I", "-S", str(found[-1]), socket, "server", "--", *cold]


def check_program(program: str, user_environment: Path) -> None:
    """Raise SpawnRefused where the program can't start on this machine."""
    if program != STOCK:
        return
    what = f"cannot start servers with {STOCK}"
    if not _SOCKET_PROXY.exists():
        raise SpawnRefused(
            what,
            why=f"{_SOCKET_PROXY}, which comes with systemd, is not on this machine",
            mend="appliance config set servers.program appliance",
        )
    version = installed_version(user_environment)
    if not version:
        raise SpawnRefused(
            what,
            why=f"the package jupyterhub is not in {user_environment}",
            mend=_MEND,
        )
    if int(version.split(".", 1)[0]) < _OLDEST_MAJOR:
        raise SpawnRefused(
            what,
            why=f"jupyterhub {version} is in {user_environment}, and 5.0 is the oldest that works",
            mend=_MEND,
        )


def installed_version(user_environment: Path) -> str:
    """The version of jupyterhub in an environment, "" without one."""
    folders = user_environment.glob("lib/python3*/site-packages/jupyterhub-*.dist-info")
    for folder in folders:
        match = re.fullmatch(r"jupyterhub-(\d+[^-]*)\.dist-info", folder.name)
        if match and (folder.parent / "jupyterhub/singleuser").is_dir():
            return match[1]
    return ""
