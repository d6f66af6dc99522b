"""What the daemon's verbs on classes' files do: who may, in which order, and how many at once.

Root makes folders and keeps the list of who is in which class; all else is done by jobs that run as
the user concerned.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from appliance.errors import ApplianceError, SpawnFailed, SpawnRefused
from appliance.interfaces import UPLOAD_MAX, Area
from appliance.names import CLASS_LINKS, Username
from appliance.systemd_spawner.class_folders import ClassFolders
from appliance.systemd_spawner.class_store import (
    STUDENT,
    TEACHER,
    ClassState,
    ClassStore,
    StoredClass,
)
from appliance.systemd_spawner.file_jobs import FileJob, Person, Runner
from appliance.systemd_spawner.protocol import Request
from appliance.systemd_spawner.units import SystemdError

log = logging.getLogger(__name__)

JOBS_MAX: Final = 2
# Links for those who start a server, and pages that list a folder, don't wait behind an archive.
_SETTLING_MAX: Final = 4

_QUICK_SECONDS: Final = 60
_COPY_SECONDS: Final = 900
_ARCHIVE_SECONDS: Final = 3600
# The most that is collected from one student, with what describes it.
_BUNDLE_MAX: Final = 2**30 + 2**27
_ARCHIVE_ROOM_MIN: Final = 2**25


class Machine(Protocol):
    """Accounts, groups and servers, as far as classes need them."""

    def person(self, user: Username, groups: tuple[int, ...]) -> Person:
        """The user's account with its home, made now if need be; raises SpawnRefused."""
        ...

    def known_person(self, user: Username, groups: tuple[int, ...]) -> Person | None:
        """The same for one who has an account, else None."""
        ...

    def account_of(self, user: Username) -> str:
        """The name of the user's account; empty for one who has none."""
        ...

    def ensure_groups(self, groups: Mapping[str, int]) -> None:
        """Make the groups that are missing."""
        ...

    def remove_groups(self, groups: Mapping[str, int]) -> None:
        """Remove those that are there."""
        ...

    def groups_of_running(self) -> dict[Username, list[set[int]]]:
        """Of each running server by its user: the numbers of the groups it was started with."""
        ...


class ClassFilesKeeper:
    """All classes' files; every method may be called from any thread."""

    def __init__(
        self, *, store: ClassStore, folders: ClassFolders, machine: Machine, runner: Runner
    ) -> None:
        self._store = store
        self._folders = folders
        self._machine = machine
        self._runner = runner
        self._making = threading.Lock()
        self._settling = threading.BoundedSemaphore(_SETTLING_MAX)
        self._turns = threading.Condition()
        self._busy: list[str] = []
        self._verbs: dict[str, Callable[[Request, int], dict[str, Any]]] = {
            "set_class": self._set_class,
            "list_folder": self._list_folder,
            "put_file": self._put_file,
            "hand_out": self._hand_out,
            "collect": self._collect,
            "begin_archive": self._begin_archive,
            "archive_home": self._archive_home,
            "archive_folder": self._archive_folder,
            "finish_archive": self._finish_archive,
            "delete_archive": self._delete_archive,
            "forget_class": self._forget_class,
        }

    def carry_out(self, request: Request, descriptor: int) -> dict[str, Any]:
        """The reply to a request on classes; `descriptor` came with it, or is -1."""
        try:
            return self._verbs[request.verb](request, descriptor)
        except OSError as err:
            raise SpawnFailed(
                "cannot work on the class's files",
                why=str(err),
                mend=f"see whether the disk of {self._folders.classes} is full or read-only",
            ) from err

    # Who is in which class

    def groups_of(self, user: Username) -> tuple[int, ...]:
        """What a server of the user's is started with."""
        return tuple(one.group_of(user) for one in self._store.classes_of(user))

    def settle(self, user: Username) -> None:
        """Make drop boxes and links of classes that the user is in anew; a failure is logged."""
        for one in self._store.classes_of(user):
            if one.settled.get(user) == one.role_of(user):
                continue
            try:
                with self._settling:
                    person = self._machine.person(user, self.groups_of(user))
                    task = {"do": "link", **self._prepared(one, user, person)}
                    what = f"cannot link the class '{one.name}' into the home of '{user}'"
                    self._runner.run(FileJob(what, task, person, _QUICK_SECONDS))
                self._store.settle(one.slug, user, one.role_of(user))
            except (ApplianceError, SystemdError) as err:
                log.warning("%s", err)

    def rename_user(self, user: Username, new: Username) -> None:
        self._store.rename_user(user, new)

    def forget_user(self, user: Username) -> None:
        self._store.forget_user(user)

    def begin_anew(self) -> None:
        """What must be done before the first request, and is quick."""
        try:
            self._folders.put_aside_unfinished()
        except OSError as err:
            log.warning("cannot remove archives that were never completed: %s", err)

    def finish_interrupted(self) -> None:
        """Carry on with what a power cut interrupted; what can't be done now is logged."""
        try:
            for one in self._store.all_in(ClassState.RETIRING):
                self._retire(one)
            self._folders.clean()
        except ApplianceError as err:
            log.warning("%s", err)

    def _set_class(self, request: Request, _descriptor: int) -> dict[str, Any]:
        with self._making:
            one = self._store.plan(request.school_class)
            self._machine.ensure_groups(one.group_names)
            one = self._store.change(one.slug, nbgrader=request.nbgrader)
            self._folders.ensure(one)
            self._store.change(one.slug, state=ClassState.READY)
            one = self._store.set_people(
                one.slug, students=request.members, teachers=request.teachers
            )
            self._tell_nbgrader(one)
        return {"slug": one.slug, "needs_restart": self._outdated(one)}

    def _outdated(self, one: StoredClass) -> list[Username]:
        """Whose running server has other groups of this class than it would get now."""
        both = {one.students_group, one.teachers_group}
        found = []
        for user, servers in self._machine.groups_of_running().items():
            wanted = {one.group_of(user)} if one.role_of(user) else set()
            if any(groups & both != wanted for groups in servers):
                found.append(user)
        return sorted(found)

    def _forget_class(self, request: Request, _descriptor: int) -> dict[str, Any]:
        with self._making:
            one = self._store.find(request.school_class)
            if one is not None:
                self._retire(self._store.change(one.slug, state=ClassState.RETIRING))
        return {}

    def _retire(self, one: StoredClass) -> None:
        self._folders.remove(one)
        self._machine.remove_groups(one.group_names)
        self._store.change(
            one.slug,
            state=ClassState.RETIRED,
            students=frozenset(),
            teachers=frozenset(),
            settled={},
        )

    # Files

    def _list_folder(self, request: Request, _descriptor: int) -> dict[str, Any]:
        what = "cannot list the folder"
        one = self._class_of(request, what)
        self._check_teacher(one, request.user, what)
        top = self._folders.of(one) / request.area
        task = {"do": "list", "top": str(top), "folder": request.folder}
        with self._settling:
            job = FileJob(what, task, self._person(request.user), _QUICK_SECONDS)
            return {"entries": self._runner.run(job)["entries"]}

    def _put_file(self, request: Request, descriptor: int) -> dict[str, Any]:
        what = "cannot store the file"
        one = self._class_of(request, what)
        self._check_teacher(one, request.user, what)
        if descriptor < 0:
            raise SpawnRefused(what, why="no file came with the request")
        top = self._folders.of(one) / Area.SHARED
        task = {"do": "put", "top": str(top), "folder": request.folder, "most": UPLOAD_MAX}
        with self._turn(request.user):
            person = self._person(request.user)
            self._runner.run(FileJob(what, task, person, _COPY_SECONDS, descriptor))
        return {}

    def _hand_out(self, request: Request, _descriptor: int) -> dict[str, Any]:
        what = "cannot hand the folder out"
        one = self._class_of(request, what)
        self._check_in_class(one, request.user, what)
        with self._turn(request.user):
            person = self._person(request.user)
            task = {
                "do": "hand_out",
                "top": str(self._folders.of(one) / Area.SHARED),
                "folder": request.folder,
                "rule": request.rule,
                **self._prepared(one, request.user, person),
            }
            report = self._runner.run(FileJob(what, task, person, _COPY_SECONDS))
        self._store.settle(one.slug, request.user, one.role_of(request.user))
        names = ("copied", "kept", "replaced", "beside", "bytes", "skipped")
        return {name: report[name] for name in names}

    def _collect(self, request: Request, _descriptor: int) -> dict[str, Any]:
        what = f"cannot collect from '{request.user}'"
        one = self._class_of(request, what)
        self._check_teacher(one, request.teacher, what)
        self._check_in_class(one, request.user, what)
        student = self._machine.known_person(request.user, self.groups_of(request.user))
        if student is None:
            raise SpawnRefused(what, why="there is no such folder")
        with (
            self._turn(request.user),
            # Without a name, so that nothing is left of it whatever happens.
            tempfile.TemporaryFile(dir=self._folders.classes) as bundle,
        ):
            data = bundle.fileno()
            task: dict[str, Any] = {
                "do": "pack",
                "home": student.home,
                "slug": one.slug,
                "folder": request.folder,
            }
            packed = self._runner.run(
                FileJob(what, task, student, _COPY_SECONDS, data, _BUNDLE_MAX)
            )
            skipped = [str(line)[:500] for line in packed["skipped"]][:100]
            teacher = self._person(request.teacher)
            task = {
                "do": "unpack",
                "top": str(self._folders.of(one) / Area.COLLECTED),
                "place": request.place,
                "user": request.user,
                "about": {
                    "user": request.user,
                    "class": one.name,
                    "folder": request.folder,
                    "collected": datetime.now(UTC).isoformat(timespec="seconds"),
                    "skipped": skipped,
                },
            }
            report = self._runner.run(FileJob(what, task, teacher, _COPY_SECONDS, data))
        return {"files": report["files"], "bytes": report["bytes"], "skipped": skipped}

    # Archives

    def _begin_archive(self, request: Request, _descriptor: int) -> dict[str, Any]:
        self._class_of(request, "cannot archive the class")
        self._folders.begin_archive(request.archive)
        return {}

    def _archive_home(self, request: Request, _descriptor: int) -> dict[str, Any]:
        one = self._class_of(request, "cannot archive the class")
        what = f"cannot archive the home of '{request.user}'"
        self._check_in_class(one, request.user, what)
        person = self._machine.known_person(request.user, ())
        if person is None:
            return {"bytes": 0, "skipped": []}
        task = {"do": "archive", "top": person.home, "name": request.user}
        return self._archive(request.archive, request.user, what, task, person)

    def _archive_folder(self, request: Request, _descriptor: int) -> dict[str, Any]:
        what = "cannot archive the class's folder"
        one = self._class_of(request, what)
        task = {"do": "archive", "top": str(self._folders.of(one)), "name": one.slug}
        # No user's name begins with a capital letter.
        return self._archive(request.archive, "CLASS", what, task, None)

    def _archive(
        self, archive: str, name: str, what: str, task: dict[str, Any], person: Person | None
    ) -> dict[str, Any]:
        with self._turn(f"{archive}/{name}"):
            descriptor = self._folders.open_archived(archive, name)
            try:
                room = self._folders.room_for_archive()
                if room < _ARCHIVE_ROOM_MIN:
                    raise SpawnRefused(
                        what,
                        why="the disk with the archives is full",
                        mend="delete an old archive, or make room",
                    )
                job = FileJob(what, task, person, _ARCHIVE_SECONDS, descriptor, room)
                report = self._runner.run(job)
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        return {"bytes": size, "skipped": [str(line)[:500] for line in report["skipped"]][:100]}

    def _finish_archive(self, request: Request, _descriptor: int) -> dict[str, Any]:
        one = self._class_of(request, "cannot archive the class")
        about = {
            "class": one.name,
            "folder": one.slug,
            "teachers": sorted(one.teachers),
            "students": sorted(one.students),
            "archived": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return {"place": str(self._folders.finish_archive(request.archive, about))}

    def _delete_archive(self, request: Request, _descriptor: int) -> dict[str, Any]:
        self._folders.delete_archive(request.archive)
        return {}

    # What they share

    def _class_of(self, request: Request, what: str) -> StoredClass:
        one = self._store.find(request.school_class)
        if one is None or one.state is not ClassState.READY:
            raise SpawnRefused(
                what,
                why="the class has no folder on this machine yet",
                mend="wait a minute; if it stays so: sudo appliance logs spawner",
            )
        return one

    def _check_teacher(self, one: StoredClass, user: Username, what: str) -> None:
        if one.role_of(user) != TEACHER:
            raise SpawnRefused(
                what, why=f"'{user}' does not teach the class", mend="let a teacher of it do that"
            )

    def _check_in_class(self, one: StoredClass, user: Username, what: str) -> None:
        if not one.role_of(user):
            raise SpawnRefused(what, why=f"'{user}' is not in the class")

    def _person(self, user: Username) -> Person:
        return self._machine.person(user, self.groups_of(user))

    def _prepared(self, one: StoredClass, user: Username, person: Person) -> dict[str, Any]:
        """What a job needs that links the class into a home; the student's drop box is there."""
        role = one.role_of(user)
        if role == STUDENT:
            self._folders.ensure_drop_box(one, person.account, person.uid)
            self._tell_nbgrader(one)
        return {
            "home": person.home,
            "slug": one.slug,
            "links": self._folders.links(one, role, person.account),
            "names": list(CLASS_LINKS),
            "root": str(self._folders.classes),
        }

    def _tell_nbgrader(self, one: StoredClass) -> None:
        """Whose account is whose, of students who have one; teachers read it."""
        if one.nbgrader:
            known = {self._machine.account_of(user): str(user) for user in sorted(one.students)}
            known.pop("", None)
            self._folders.write_people(one, known)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Wait until few enough are at work, and nobody on the same."""
        with self._turns:
            while key in self._busy or len(self._busy) >= JOBS_MAX:
                self._turns.wait()
            self._busy.append(key)
        try:
            yield
        finally:
            with self._turns:
                self._busy.remove(key)
                self._turns.notify_all()
