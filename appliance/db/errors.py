"""What can go wrong with the database that somebody must hear about."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError

DOCTOR: Final = "an admin must run `appliance doctor` on the machine; nothing was changed"
# What a disk says that is full or broken, or that Linux has stopped writing to for that.
_DISK: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EUCLEAN})


class DatabaseError(ApplianceError):
    """The database can't be used."""


class StorageError(DatabaseError):
    """Nothing was saved: the disk is full, read-only or failing. Nothing half-written remains."""


class DatabaseGoneError(DatabaseError):
    """There was a database, and there is none any more."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "cannot find the appliance's accounts",
            why=f"there was a database {path}, and it is gone or empty",
            mend="an admin brings it back by `sudo appliance backup list`, then "
            "`sudo appliance restore NAME`; to begin anew, without accounts: "
            f"`sudo mv {path.parent} {path.parent}.lost`",
        )


class SchemaTooNewError(DatabaseError):
    """A later version of the program made this database."""


def trouble_with_disk(error: BaseException) -> StorageError | None:
    """The failure as one of the disk, if it is one: whatever file it was that was read or written.

    Unlike others it passes without anybody changing anything here.
    """
    if isinstance(error, StorageError):
        return error
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError) or cause.errno not in _DISK:
        return None
    what = "cannot save or read the appliance's data"
    return StorageError(what, why=f"the disk says: {cause.strerror}", mend=DOCTOR)
