"""Copies of wheels that somebody named by their path, so that environments can be made again.

Root copies them to where everybody may read them, and the folder that they come from may be
somebody else's: what is named like a wheel could be a link to a file of secrets. So only what is a
wheel is copied, by the descriptor by which that was seen.
"""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path
from typing import IO

from appliance.errors import ApplianceError
from installer.files import write_file


def keep(path: Path, place: Path) -> None:
    """Copy a wheel; raises ApplianceError for what is none, or can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not _is_wheel(file):
                raise _refused(path, "it is no wheel")
            file.seek(0)
            write_file(place, file.read())
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error


def _is_wheel(file: IO[bytes]) -> bool:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return False
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError):
        return False
    return any(name.endswith(".dist-info/WHEEL") and name.count("/") == 1 for name in names)


def _refused(path: Path, why: str) -> ApplianceError:
    return ApplianceError(
        f"cannot install from {path}",
        why=why,
        mend="name a file that ends in .whl, as `pip wheel` makes it",
    )
