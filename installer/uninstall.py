"""Taking the appliance off a machine: the program goes, what belongs to people stays.

With `purge` that goes too. Afterwards no unit is left failed, the port is free, and an installation
begins anew, or goes on with all that was left.
"""

from __future__ import annotations

import grp
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance.errors import InstallError
from appliance.places import Places
from appliance.systemd_spawner.accounts import FIRST_ID, LAST_ID
from installer.commands import run, succeeds
from installer.events import Reporter
from installer.files import remove_tree

_SYSTEM_ACCOUNTS: Final = ("appliance-hub", "appliance-proxy")
_GROUPS: Final = (*_SYSTEM_ACCOUNTS, "appliance-users")
_OURS: Final = ("nb-", "svc-")
_PACKAGES: Final = ("python3-pip-whl", "python3-venv", "python3-pystemd", "nginx", "git")
_MASKED: Final = "nginx-masked"
"""In /opt/appliance: bootstrap.py's note that it masked nginx's own service."""


@dataclass
class Uninstall:
    """What goes and what stays; nothing is done before `apply`."""

    places: Places
    purge: bool = False
    root: Path = Path("/")

    def facts(self) -> dict[str, Any]:
        return {
            "purge": self.purge,
            "removes": [str(path) for path in self._removed() if _is_there(path)],
            "accounts": [account.pw_name for account in self._accounts()] if self.purge else [],
            "unmasks": ["nginx.service"] if self._masked_nginx() else [],
            "stays": self._stays(),
        }

    def _at(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def _units(self) -> list[Path]:
        """Unit files, additions to them, and what enabled them."""
        folder = self._at("/etc/systemd/system")
        return sorted([*folder.glob("appliance*"), *folder.glob("*.wants/appliance*")])

    def _removed(self) -> list[Path]:
        places = self.places
        found = [
            *self._units(),
            self._at("/etc/sysusers.d/appliance.conf"),
            self._at("/etc/tmpfiles.d/appliance.conf"),
            self._at("/usr/local/bin/appliance"),
            places.run,
            places.software,
        ]
        if self.purge:
            found += [places.settings, places.state, places.class_files]
            found += [Path(account.pw_dir) for account in self._accounts()]
            found += [self._at("/var/log/appliance-install.log")]
        return found

    def _stays(self) -> list[str]:
        packages = f"the Debian packages {', '.join(_PACKAGES)}; those that nothing else needs: "
        packages += f"sudo apt-get remove {' '.join(_PACKAGES)}"
        if self.purge:
            return [packages]
        places = self.places
        return [
            f"people's accounts (nb-…) and homes in {places.homes}",
            f"{places.settings}: settings and their history",
            f"{places.state}: the hub's accounts, classes and certificates",
            f"{places.class_files}: folders and archives of classes",
            f"the system accounts {', '.join(_SYSTEM_ACCOUNTS)} and the group appliance-users",
            packages,
        ]

    def _accounts(self) -> list[pwd.struct_passwd]:
        """Those that the spawner daemon made, by its numbers and names."""
        return [
            one
            for one in pwd.getpwall()
            if FIRST_ID <= one.pw_uid <= LAST_ID and one.pw_name.startswith(_OURS)
        ]

    def _masked_nginx(self) -> bool:
        return (self.places.software / _MASKED).exists()

    def running_servers(self) -> list[str]:
        """Units of users' servers that run now."""
        folder = Path("/sys/fs/cgroup/appliance.slice/appliance-users.slice")
        return sorted(path.name for path in folder.glob("appliance-user-*.service"))

    def apply(self, reporter: Reporter) -> None:
        """Do it; being interrupted does no harm, and doing it again goes on."""
        facts = self.facts()
        reporter.stage("Stopping everything")
        units = [path.name for path in self._units() if path.is_file()]
        succeeds("systemctl", "disable", "--quiet", "appliance.target")
        succeeds("systemctl", "stop", "appliance.target", *units)
        succeeds("systemctl", "stop", "appliance-*")
        succeeds("systemctl", "stop", "appliance.slice")
        self._restore_nginx()
        reporter.stage("Removing files")
        accounts = self._accounts() if self.purge else []
        for path in self._removed():
            _remove(path)
        run(["systemctl", "daemon-reload"], failure="cannot reload units", reporter=reporter)
        succeeds("systemctl", "reset-failed", "appliance*")
        if self.purge:
            reporter.stage("Removing accounts")
            self._remove_accounts(accounts, reporter)
        reporter.output(f"removed: {facts['removes']}")

    def _restore_nginx(self) -> None:
        """It never ran by itself here, and shan't take the port at the next boot."""
        if self._masked_nginx():
            succeeds("systemctl", "disable", "--quiet", "nginx.service")
            succeeds("systemctl", "unmask", "--quiet", "nginx.service")

    def _remove_accounts(self, accounts: list[pwd.struct_passwd], reporter: Reporter) -> None:
        names = [account.pw_name for account in accounts]
        for name in (*names, *_SYSTEM_ACCOUNTS):
            with suppress(KeyError):
                pwd.getpwnam(name)
                failure = f"cannot remove the account {name}"
                run(["userdel", name], failure=failure, reporter=reporter)
        for group in _GROUPS:
            with suppress(KeyError):
                grp.getgrnam(group)
                failure = f"cannot remove the group {group}"
                run(["groupdel", group], failure=failure, reporter=reporter)


def _is_there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            if path.is_mount():
                for inside in path.iterdir():
                    _remove(inside)
                return
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as err:
        raise InstallError(
            f"cannot remove {path}", why=err.strerror or str(err), mend="run the same command again"
        ) from err
