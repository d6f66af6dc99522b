"""A class's folders, made by root: who may do what in them is in their access lists.

Users may write in the areas but not in what holds them, so root meets no link of theirs on its way.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from appliance.errors import SpawnFailed, SpawnRefused
from appliance.interfaces import Area
from appliance.systemd_spawner.accounts import write_atomically
from appliance.systemd_spawner.acl import CHANGE, ENTER, LOOK, WRITE, Grant, put_list
from appliance.systemd_spawner.class_store import STUDENT, StoredClass

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REMOVE_SECONDS: Final = 1800
# A twentieth of the disk.
_KEPT_FREE: Final = 20
COURSE: Final = "nbgrader"
"""Where a class's teachers have their course, as nbgrader calls it."""


class ClassFolders:
    """Below one folder: classes/, archives/, and removed/ for what is on its way out."""

    def __init__(self, root: Path, *, has_groups: bool = True) -> None:
        """Without `has_groups`, as in a trial, everything belongs to whoever runs this."""
        self._root = root
        self._has_groups = has_groups

    @property
    def classes(self) -> Path:
        return self._root / "classes"

    @property
    def archives(self) -> Path:
        return self._root / "archives"

    @property
    def _removed(self) -> Path:
        return self._root / "removed"

    def of(self, one: StoredClass) -> Path:
        return self.classes / one.slug

    def drop_box(self, one: StoredClass, account: str) -> Path:
        return self.of(one) / Area.DROP_BOXES / account

    def is_taken(self, slug: str) -> bool:
        return os.path.lexists(self.classes / slug)

    def ensure(self, one: StoredClass) -> None:
        """Make what is missing, and put right whose it is; raises SpawnRefused."""
        students, teachers = one.students_group, one.teachers_group

        def grants(for_students: int, for_teachers: int) -> list[Grant]:
            both = ((students, for_students), (teachers, for_teachers))
            return [Grant(allowed, group=group) for group, allowed in both if allowed]

        try:
            # Who isn't in a class learns nothing of it, not even its name.
            self._ensure(self._root, None, mode=0o755)
            self._ensure(self.classes, None, mode=0o711)
            top = self.of(one)
            self._ensure(top, grants(LOOK, LOOK))
            self._ensure(top / Area.SHARED, grants(LOOK, CHANGE), inherited=True)
            self._ensure(top / Area.TOGETHER, grants(CHANGE, CHANGE), inherited=True)
            self._ensure(top / Area.DROP_BOXES, grants(ENTER, LOOK))
            self._ensure(top / Area.COLLECTED, grants(0, CHANGE), inherited=True)
            self._ensure_nbgrader(one, grants)
        except OSError as err:
            raise self._refused(one, err) from err

    def _ensure_nbgrader(self, one: StoredClass, grants: Callable[[int, int], list[Grant]]) -> None:
        """The course's own folder, which is the teachers', and its exchange.

        nbgrader itself would have everybody make folders in the exchange, and rely on names that
        nobody guesses.
        """
        exchange = self.of(one) / Area.EXCHANGE
        if not one.nbgrader:
            self._shut(exchange)
            return
        if not self._has_groups and exchange.is_dir():
            exchange.chmod(0o700)
        self._ensure(exchange, grants(LOOK, LOOK))
        self._ensure(exchange / "outbound", grants(LOOK, CHANGE), inherited=True)
        # What a student handed in, no other reads even with its path.
        handed_in = [Grant(0, group=one.students_group), *grants(0, CHANGE)]
        self._ensure(exchange / "inbound", grants(WRITE | ENTER, CHANGE), inherited=handed_in)
        self._ensure(exchange / "feedback", grants(ENTER, CHANGE), inherited=grants(LOOK, CHANGE))
        self._ensure(self.of(one) / COURSE, grants(0, CHANGE), inherited=True)

    def write_people(self, one: StoredClass, people: Mapping[str, str]) -> None:
        """Keep in the exchange which account is which user's; raises SpawnRefused."""
        path = self.of(one) / Area.EXCHANGE / "people.json"
        content = json.dumps(people, indent=1).encode()
        # In a trial all share one account.
        if not self._has_groups or (path.exists() and path.read_bytes() == content):
            return
        try:
            write_atomically(path, content)
            os.chown(path, -1, one.teachers_group)
            path.chmod(0o640)
        except OSError as err:
            raise self._refused(one, err) from err

    def _shut(self, path: Path) -> None:
        """Let nobody in; what is there stays for another time."""
        if not path.is_dir():
            return
        if self._has_groups:
            self._ensure(path, [])
        else:
            path.chmod(0)

    def ensure_drop_box(self, one: StoredClass, account: str, uid: int) -> None:
        """A student's own: she and the teachers write, nobody else sees it."""
        grants = [Grant(CHANGE, user=uid), Grant(CHANGE, group=one.teachers_group)]
        try:
            self._ensure(self.drop_box(one, account), grants, inherited=True)
        except OSError as err:
            raise self._refused(one, err) from err

    def links(self, one: StoredClass, role: str, account: str) -> dict[str, str]:
        """What the class's folder in a home links to, by name."""
        top = self.of(one)
        names = {"shared": top / Area.SHARED, "together": top / Area.TOGETHER}
        if role == STUDENT:
            names["drop"] = self.drop_box(one, account)
        else:
            names["collected"] = top / Area.COLLECTED
            names["drop-boxes"] = top / Area.DROP_BOXES
        return {name: str(path) for name, path in names.items()}

    def remove(self, one: StoredClass) -> None:
        """Take the class's folder away at once, and off the disk; can be asked again."""
        try:
            self._ensure(self._removed, None, mode=0o700)
            with suppress(FileNotFoundError):
                self.of(one).rename(self._removed / one.slug)
        except OSError as err:
            raise self._refused(one, err) from err
        self.delete(self._removed / one.slug)

    def delete(self, path: Path) -> None:
        """rm(1) follows no link and manages trees of any depth; raises SpawnFailed."""
        if not os.path.lexists(path):
            return
        command = ["/usr/bin/rm", "-rf", "--one-file-system", "--", str(path)]
        try:
            done = subprocess.run(
                command,
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_REMOVE_SECONDS,
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            )
            why = " ".join(done.stderr.split())[:500]
        except (OSError, subprocess.TimeoutExpired) as err:
            why = str(err)
        if os.path.lexists(path):
            raise SpawnFailed(f"cannot remove {path}", why=why, mend="try again")

    def put_aside_unfinished(self) -> None:
        """Take away archives that were never completed; quick, so that new ones may begin."""
        unfinished = list(self.archives.glob(".*.part")) if self.archives.is_dir() else []
        for path in unfinished:
            self._ensure(self._removed, None, mode=0o700)
            path.rename(self._removed / f"{path.name}.{time.time_ns()}")

    def clean(self) -> None:
        """Finish what was being removed; raises SpawnFailed."""
        for path in list(self._removed.iterdir()) if self._removed.is_dir() else ():
            self.delete(path)

    # Archives

    def begin_archive(self, archive: str) -> None:
        """An empty folder that isn't an archive yet; raises SpawnRefused if it is one already."""
        if os.path.lexists(self.archives / archive):
            raise SpawnRefused(
                f"cannot make the archive {archive}",
                why="there is one of that name already",
                mend="choose another name",
            )
        self.delete(self._unfinished(archive))
        try:
            self._ensure(self._root, None, mode=0o755)
            self._ensure(self.archives, None, mode=0o700)
            self._ensure(self._unfinished(archive), None, mode=0o700)
        except OSError as err:
            raise self._archive_refused(archive, err) from err

    def open_archived(self, archive: str, name: str) -> int:
        """A descriptor to write one of its files to, only readable by root."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(self._unfinished(archive) / f"{name}.tar.gz", flags, 0o600)
        except OSError as err:
            raise self._archive_refused(archive, err) from err

    def room_for_archive(self) -> int:
        """Bytes that an archive may still take: a part of the disk stays free for the living."""
        status = os.statvfs(self.archives)
        return max(0, (status.f_bavail - status.f_blocks // _KEPT_FREE) * status.f_frsize)

    def finish_archive(self, archive: str, about: dict[str, Any]) -> Path:
        """From now on it is one; its manifest says what is in it. The path of the whole."""
        part, whole = self._unfinished(archive), self.archives / archive
        try:
            files = [
                {"name": path.name, "bytes": path.stat().st_size} for path in sorted(part.iterdir())
            ]
            content = json.dumps({**about, "files": files}, indent=1).encode()
            write_atomically(part / "manifest.json", content)
            part.rename(whole)
        except OSError as err:
            raise self._archive_refused(archive, err) from err
        return whole

    def delete_archive(self, archive: str) -> None:
        """Whole or half made; can be asked again."""
        whole, part = self.archives / archive, self._unfinished(archive)
        if os.path.lexists(whole):
            self.delete(part)
            # So that half an archive is never taken for one.
            whole.rename(part)
        self.delete(part)

    def _unfinished(self, archive: str) -> Path:
        return self.archives / f".{archive}.part"

    def _archive_refused(self, archive: str, err: OSError) -> SpawnRefused:
        return SpawnRefused(
            f"cannot make the archive {archive}",
            why=str(err),
            mend=f"see whether the disk of {self._root} is full or read-only",
        )

    # Making

    def _ensure(
        self,
        path: Path,
        grants: Sequence[Grant] | None,
        *,
        mode: int = 0o700,
        inherited: Sequence[Grant] | bool = False,
    ) -> None:
        """Make a folder for nobody else first, and let people in when its list is complete.

        What is made in it gets another list, or with True the same.
        """
        made_in_it = (grants if inherited is True else inherited) or None
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        descriptor = os.open(path, _FOLDER)
        try:
            if grants is None:
                os.fchmod(descriptor, mode)
            elif self._has_groups:
                put_list(descriptor, grants, inherited=made_in_it)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _refused(self, one: StoredClass, err: OSError) -> SpawnRefused:
        return SpawnRefused(
            f"cannot make the folder of the class '{one.name}'",
            why=str(err),
            mend=f"see whether the disk of {self._root} is full or read-only",
        )
