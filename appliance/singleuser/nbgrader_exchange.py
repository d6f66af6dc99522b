"""nbgrader's exchange where who may read what is in access lists, and users aren't accounts.

nbgrader copies folders with all that belongs to them, access lists too; here a copy gets the list
of the place where it comes to lie. And whose a submission is, it says in its name, which everybody
in a course may choose; here it is the owner's, and which account is whose stands in a file of
root's beside the submissions.

The only module that imports nbgrader, and nbgrader alone imports it.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nbgrader.exchange import ExchangeError
from nbgrader.exchange.default import (
    ExchangeCollect,
    ExchangeFetchAssignment,
    ExchangeReleaseAssignment,
    ExchangeSubmit,
)
from nbgrader.utils import parse_utc

PEOPLE: Final = "people.json"
# Access lists, as acl(5) has them.
_ACCESS: Final = "system.posix_acl_access"
_DEFAULT: Final = "system.posix_acl_default"
_CHUNK: Final = 2**20
_NOTHING: Final[dict[str, Any]] = {"username": "", "timestamp": parse_utc("1970-01-01 00:00")}
"""The record of what is no submission."""


class _AtHome:
    """Copies that get the access lists of where they are."""

    def do_copy(self, src: str, dest: str, *arguments: Any, **words: Any) -> None:
        super().do_copy(src, dest, *arguments, **words)  # type: ignore[misc]
        inherited = _list_of(Path(dest).parent)
        for folder, _, files in os.walk(dest):
            _put(Path(folder), _DEFAULT, inherited)
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                if not path.is_symlink():
                    _put(path, _ACCESS, inherited)


class Release(_AtHome, ExchangeReleaseAssignment):  # type: ignore[misc]
    """What `nbgrader release_assignment` does."""


class Fetch(_AtHome, ExchangeFetchAssignment):  # type: ignore[misc]
    """What `nbgrader fetch_assignment` does."""


class Submit(_AtHome, ExchangeSubmit):  # type: ignore[misc]
    """What `nbgrader submit` does."""


class Collect(_AtHome, ExchangeCollect):  # type: ignore[misc]
    """What `nbgrader collect` and the formgrader's button do.

    A submission stays its student's while it is copied. A link in it would have the teacher's
    program fetch what the student may not read, and show it in the feedback.
    """

    check_owner = False
    """The name is the owner's already."""

    def do_copy(self, src: str, dest: str, *arguments: Any, **words: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            staged = Path(folder, Path(dest).name)
            for path in _copy_files(src, staged, most=1000 * self.coursedir.max_dir_size):
                self.log.warning("%s is left out: it is a link, or no file", path)
            super().do_copy(str(staged), dest, *arguments, **words)

    def copy_files(self) -> None:
        self.src_records: list[dict[str, Any]] = [
            record for record in self.src_records if record is not _NOTHING
        ]
        super().copy_files()

    def _path_to_record(self, path: str) -> dict[str, Any]:
        # Of the folder itself: somebody may link to another's.
        status = os.lstat(path)
        try:
            record: dict[str, Any] = super()._path_to_record(path)
        except (ExchangeError, ValueError):
            record = {}
        if not record or not stat.S_ISDIR(status.st_mode):
            self.log.warning("%s is no submission", path)
            return _NOTHING
        people = self._people()
        if people is not None:
            owner = _account(status.st_uid)
            name = people.get(owner, owner)
            if name != record["username"]:
                self.log.warning(
                    "%s says that it is from %s, and is from %s", path, record["username"], name
                )
            record["username"] = name
        return record

    def _people(self) -> dict[str, str] | None:
        """Users by account; None where all share one account, as in a trial."""
        try:
            found: dict[str, str] = json.loads((Path(self.course_path) / PEOPLE).read_bytes())
        except FileNotFoundError:
            return None
        return found


def _copy_files(source: str, target: Path, *, most: int) -> Iterator[str]:
    """Copy folders and files of at most so many bytes, and follow no link whoever puts it there
    meanwhile; what is left out."""
    room = most
    target.mkdir()
    for folder, names, files, descriptor in os.fwalk(source):
        into = target / Path(folder).relative_to(source)
        for name in (*names, *files):
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                (into / name).mkdir()
            elif stat.S_ISREG(status.st_mode):
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
                opened = os.open(name, flags, dir_fd=descriptor)
                with os.fdopen(opened, "rb") as file, (into / name).open("xb") as copy:
                    while chunk := file.read(min(room + 1, _CHUNK)):
                        room -= len(chunk)
                        if room < 0:
                            raise RuntimeError(f"{source} has more than {most} bytes")
                        copy.write(chunk)
            else:
                yield f"{folder}/{name}"


def _account(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"uid-{uid}"


def _list_of(folder: Path) -> bytes:
    """The list that new things in a folder get; empty if there is none."""
    try:
        return os.getxattr(folder, _DEFAULT)
    except OSError as err:
        if err.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return b""


def _put(path: Path, name: str, content: bytes) -> None:
    try:
        if content:
            os.setxattr(path, name, content)
        else:
            os.removexattr(path, name)
    except OSError as err:
        if err.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
