"""What a restore asks of the machine: programs stopped and started, Unix accounts made."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from typing import Final, Protocol

from appliance.backup import ids
from appliance.backup.database import as_account
from appliance.backup.errors import BackupError
from appliance.backup.merge import Merged, unix_conflicts
from appliance.backup.unpack import as_user
from appliance.config.load import load
from appliance.places import Places
from appliance.rollout.apply import make_applier
from appliance.rollout.health import Deadline, wait_for_health
from appliance.rollout.services import HUB_UNIT, PROXY_UNIT, SOCKET_UNITS, SPAWNER_UNIT
from appliance.systemd_spawner.host import Host
from appliance.systemd_spawner.properties import USERS_GROUP

_SECONDS: Final = 120
# A database from an earlier version is brought up to date meanwhile.
_HEALTH_SECONDS: Final = 120.0
_USERS: Final = "appliance-user-*.service"
_SERVICES: Final = "appliance-service-*.service"
_JOBS: Final = "appliance-files-*.service"
_UPKEEP: Final = ("appliance-upkeep.timer", "appliance-upkeep.service")
TARGET: Final = "appliance.target"


class Machine(Protocol):
    """All that isn't a file of the appliance's own."""

    def running_servers(self) -> list[str]:
        """Units of users' servers that run."""
        ...

    def stop(self) -> None:
        """Stop all that reads or writes what is restored; users' servers too."""
        ...

    def start(self) -> None:
        """Start everything again."""
        ...

    def conflicts(self, merged: Merged) -> list[str]:
        """Why the accounts can't be made on this machine."""
        ...

    def make_accounts(self, merged: Merged) -> None:
        """Make Unix accounts and groups where they are missing; unseal those that are back."""
        ...

    def system_id(self, account: str) -> tuple[int, int]:
        """User and group id of an account of the appliance's own."""
        ...

    def as_system(self, account: str) -> list[str]:
        """What goes before a command so that it is such an account's."""
        ...

    def as_user(self, uid: int) -> list[str]:
        """The same for a user's."""
        ...

    def render(self) -> None:
        """Write what the programs read, from the settings that are there now."""
        ...

    def wait_until_well(self) -> None:
        """Return when the appliance answers; raises ApplianceError."""
        ...


class SystemdMachine:
    """The real one."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._host = Host(homes=places.homes)

    def running_servers(self) -> list[str]:
        done = _systemctl(
            "list-units", "--plain", "--no-legend", "--state=active,activating", _USERS
        )
        return [line.split()[0] for line in done.splitlines() if line.split()]

    def stop(self) -> None:
        # Sockets first: a connection would start their services again.
        _systemctl("stop", *_UPKEEP, *SOCKET_UNITS)
        _systemctl("stop", HUB_UNIT, SPAWNER_UNIT)
        _systemctl("stop", _USERS, _SERVICES, _JOBS)

    def start(self) -> None:
        _systemctl("reset-failed", HUB_UNIT, SPAWNER_UNIT, PROXY_UNIT, *SOCKET_UNITS, check=False)
        _systemctl("start", TARGET)
        # What its sandbox hides has been exchanged below it.
        _systemctl("restart", PROXY_UNIT)

    def conflicts(self, merged: Merged) -> list[str]:
        return unix_conflicts(
            merged,
            uid_of=ids.uid_of,
            name_of=ids.name_of,
            gid_of=ids.gid_of,
            group_name_of=ids.group_of,
        )

    def make_accounts(self, merged: Merged) -> None:
        self._host.clear_stale_locks()
        for name, uid in merged.current_accounts:
            self._host.ensure_account(name, uid)
        for name, uid in merged.to_unseal:
            self._unseal(name, uid)
        for name, gid in merged.current_groups.items():
            self._host.ensure_group(name, gid)
        for service, account in merged.services["accounts"].items():
            self._host.ensure_system_account(account, self._places.state / "services" / service)

    def _unseal(self, name: str, uid: int) -> None:
        """The contrary of what the daemon does when a user is removed."""
        _run(
            ["usermod", "--unlock", "--expiredate", "", "--shell", "/bin/bash",
             "--groups", USERS_GROUP, "--", name],
            what=f"cannot bring the Unix account {name} back",
        )  # fmt: skip
        home = self._places.homes / name
        if home.is_dir() and not home.is_symlink() and home.lstat().st_uid in (uid, 0):
            descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchown(descriptor, uid, uid)
            finally:
                os.close(descriptor)

    def system_id(self, account: str) -> tuple[int, int]:
        try:
            found = pwd.getpwnam(account)
        except KeyError as err:
            raise BackupError(
                "cannot restore", why=f"this machine has no account {account}",
                mend="run the installer first, then restore",
            ) from err  # fmt: skip
        return found.pw_uid, found.pw_gid

    def as_system(self, account: str) -> list[str]:
        return as_account(account)

    def as_user(self, uid: int) -> list[str]:
        return as_user(uid)

    def render(self) -> None:
        make_applier(self._places).render()

    def wait_until_well(self) -> None:
        config = load(self._places.config_file)
        wait_for_health(config, Deadline.after(_HEALTH_SECONDS))


def _systemctl(*words: str, check: bool = True) -> str:
    return _run(["systemctl", *words], what=f"systemd cannot {words[0]} the programs", check=check)


def _run(command: Sequence[str], *, what: str, check: bool = True) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise BackupError(what, why=str(err)) from err
    if check and done.returncode:
        raise BackupError(
            what,
            why=" ".join(done.stderr.split())[:500],
            mend="sudo journalctl -b -u 'appliance-*'",
        )
    return done.stdout
