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
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nbgrader.exchange.default import (
    ExchangeCollect,
    ExchangeFetchAssignment,
    ExchangeReleaseAssignment,
    ExchangeSubmit,
)

PEOPLE: Final = "people.json"
# Access lists, as acl(5) has them.
_ACCESS: Final = "system.posix_acl_access"
_DEFAULT: Final = "system.posix_acl_default"


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


class Collect(ExchangeCollect):  # type: ignore[misc]
    """What `nbgrader collect` and the formgrader's button do."""

    check_owner = False
    """The name is the owner's already."""

    def _path_to_record(self, path: str) -> dict[str, Any]:
        record: dict[str, Any] = super()._path_to_record(path)
        people = self._people()
        if people is not None:
            owner = _account(Path(path).stat().st_uid)
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
