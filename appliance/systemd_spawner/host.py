"""Making and retiring one Unix account on this machine, so that a power cut at any point is healed.

Each function looks at what is there and does what is missing. Commands of the distribution's
`passwd` package change the user database; the home is ours, because useradd's own is half there
after a cut.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from appliance.errors import SpawnRefused
from appliance.systemd_spawner.properties import USERS_GROUP

Run = Callable[[Sequence[str]], None]

_COMMAND_TIMEOUT_SECONDS: Final = 60
# What the commands of `passwd` lock; lckpwdf(3) and their own files beside the databases.
_LOCKS: Final = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")


def run_command(command: Sequence[str]) -> None:
    """Run a fixed command; raise SpawnRefused with its own words when it fails."""
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_TIMEOUT_SECONDS,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise SpawnRefused("cannot change the Unix accounts", why=str(err)) from err
    if done.returncode != 0:
        words = " ".join(done.stderr.split())[:500] or f"exit status {done.returncode}"
        raise SpawnRefused(
            "cannot change the Unix accounts",
            why=f"{command[0]}: {words}",
            mend="run pwck and grpck; see whether the disk is full and /etc can be written",
        )


class Host:
    """The user database and the homes of this machine."""

    def __init__(
        self,
        *,
        homes: Path,
        skeleton: Path = Path("/etc/skel"),
        locks: Path = Path("/etc"),
        run: Run = run_command,
    ) -> None:
        self._homes = homes
        self._skeleton = skeleton
        self._locks = locks
        self._run = run

    def home(self, account: str) -> Path:
        return self._homes / account

    def is_name_taken(self, account: str) -> bool:
        """Whether an account, a group or a home of that name is there, whoever made it."""
        return (
            _find_user(account) is not None
            or _find_group(account) is not None
            or os.path.lexists(self.home(account))
        )

    def has_class_group(self, slug: str) -> bool:
        """Whether there is a group of the names that a class with that folder would have."""
        return any(_find_group(f"{kind}-{slug}") is not None for kind in ("nbc", "nbt"))

    def is_id_taken(self, number: int) -> bool:
        """Whether a user or group has the number."""
        for lookup in (pwd.getpwuid, grp.getgrgid):
            try:
                lookup(number)
            except KeyError:
                continue
            return True
        return False

    def ensure_account(self, account: str, uid: int) -> None:
        """Make group, account and membership where missing; the password stays locked."""
        group = _find_group(account)
        if group is None:
            self._run(["groupadd", "--gid", str(uid), "--", account])
        elif group.gr_gid != uid:
            raise _foreign(account, f"its group has the id {group.gr_gid}, not {uid}")
        user = _find_user(account)
        if user is None:
            self._run(self._useradd(account, uid))
        elif user.pw_uid != uid:
            raise _foreign(account, f"it has the id {user.pw_uid}, not {uid}")
        elif not _is_member(account):
            self._run(["usermod", "--append", "--groups", USERS_GROUP, "--", account])

    def _useradd(self, account: str, uid: int) -> list[str]:
        # fmt: off
        return [
            "useradd", "--uid", str(uid), "--gid", account, "--no-user-group",
            "--groups", USERS_GROUP, "--home-dir", str(self.home(account)), "--no-create-home",
            "--shell", "/bin/bash", "--comment", "Jupyter user", "--no-log-init",
            # Subordinate ids are for containers, which the servers' sandbox forbids; 65536 for each
            # account would use the range up after 9000 users.
            "-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0", "--", account,
        ]
        # fmt: on

    def ensure_group(self, group: str, number: int) -> None:
        """Make a group with that number where it is missing."""
        found = _find_group(group)
        if found is None:
            self._run(["groupadd", "--gid", str(number), "--", group])
        elif found.gr_gid != number:
            raise SpawnRefused(
                f"cannot use the Unix group '{group}'",
                why=f"it has the id {found.gr_gid}, not {number}; it was changed by hand",
                mend="give it back the id that /var/lib/appliance/spawner/classes.json says",
            )

    def remove_group(self, group: str, number: int) -> None:
        """Remove a group unless it is gone, or somebody else's by now."""
        found = _find_group(group)
        if found is not None and found.gr_gid == number:
            self._run(["groupdel", "--", group])

    def ensure_system_account(self, account: str, home: Path) -> None:
        """Make a service's group and account where missing; nobody can log in to it."""
        if _find_group(account) is None:
            self._run(["groupadd", "--system", "--", account])
        if _find_user(account) is None:
            # fmt: off
            self._run([
                "useradd", "--system", "--gid", account, "--no-user-group",
                "--home-dir", str(home), "--no-create-home", "--shell", "/usr/sbin/nologin",
                "--comment", "Service of the hub appliance", "--no-log-init", "--", account,
            ])
            # fmt: on

    def ensure_home(self, account: str, uid: int) -> None:
        """Make the home from the skeleton unless it is there; it appears complete or not at all."""
        home = self.home(account)
        if os.path.lexists(home):
            self.check_home(account, uid)
            return
        building = self._homes / f".{account}.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(mode=0o700)
        if self._skeleton.is_dir():
            shutil.copytree(self._skeleton, building, symlinks=True, dirs_exist_ok=True)
        building.chmod(0o700)
        _give(building, uid)
        building.rename(home)
        _sync(self._homes)

    def check_home(self, account: str, uid: int) -> None:
        """Raise SpawnRefused unless the home is a directory of the account's own."""
        home = self.home(account)
        try:
            status = home.lstat()
        except FileNotFoundError:
            # A disk that isn't mounted looks like this too; a fresh home would hide that.
            raise SpawnRefused(
                "cannot use the home directory",
                why=f"{home} is missing",
                mend=f"mount the disk it is on, or restore it, or make an empty one: "
                f"install -d -m 0700 -o {account} -g {account} {home}",
            ) from None
        if not home.is_dir() or home.is_symlink() or status.st_uid != uid:
            raise SpawnRefused(
                "cannot use the home directory",
                why=f"{home} is not a directory of account '{account}' (id {uid})",
                mend=f"see whose it is; then chown -h {account}: {home}, or move it away",
            )

    def seal(self, account: str, uid: int) -> None:
        """Retire the account: nobody logs in, and only root reads the home."""
        home = self.home(account)
        if home.is_dir() and not home.is_symlink() and home.lstat().st_uid in (uid, 0):
            descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                os.fchown(descriptor, 0, 0)
                os.fchmod(descriptor, 0o700)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        user = _find_user(account)
        if user is not None and user.pw_uid == uid:
            # fmt: off
            self._run([
                "usermod", "--lock", "--expiredate", "1", "--shell", "/usr/sbin/nologin",
                "--groups", "", "--", account,
            ])
            # fmt: on

    def mend_databases(self) -> None:
        """Make the shadow entries that a power cut between two files kept back."""
        self._run(["pwconv"])
        self._run(["grpconv"])

    def clear_stale_locks(self) -> None:
        """Remove the user database's locks that a power cut left.

        The commands take a lock for stale when no process has its number, but after a reboot some
        other process may well have it. Called before anything here could hold one.
        """
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        for name in _LOCKS:
            lock = self._locks / f"{name}.lock"
            if lock.exists() and lock.stat().st_mtime < booted:
                lock.unlink(missing_ok=True)


def _find_user(account: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(account)
    except KeyError:
        return None


def _find_group(account: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(account)
    except KeyError:
        return None


def _is_member(account: str) -> bool:
    group = _find_group(USERS_GROUP)
    return group is not None and account in group.gr_mem


def _foreign(account: str, why: str) -> SpawnRefused:
    return SpawnRefused(
        f"cannot use the Unix account '{account}'",
        why=f"{why}; it was changed by hand",
        mend="give it back the id that /var/lib/appliance/spawner/accounts.json says",
    )


def _give(folder: Path, uid: int) -> None:
    """Hand a tree to its owner, everything on disk before it gets its name."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            os.chown(path, uid, uid, follow_symlinks=False)
            if not path.is_symlink():
                _sync(path)
    os.chown(folder, uid, uid)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
