"""Files that are either the old or the new one, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, Conflict
from appliance.locks import take_lock

LOCK_SECONDS: Final = 10.0


def write_atomically(
    path: Path, text: str, *, mode: int, group: int | None = None, user: int | None = None
) -> None:
    """Replace a file by a new one beside it that is complete, on the disk, and has its mode and
    owner.

    A symbolic link is followed, so that /etc/appliance/config.yaml may point into somebody's
    repository.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8"))
            if group is not None or user is not None:
                os.fchown(
                    file.fileno(), -1 if user is None else user, -1 if group is None else group
                )
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise ApplianceError(
            f"cannot write {target}",
            why=error.strerror or str(error),
            mend=f"df -h {target.parent}",
        ) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk: a rename alone may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold the configuration's lock; raises Conflict when somebody else holds it for longer."""
    try:
        descriptor = take_lock(path, _refusal, seconds=seconds)
    except OSError as error:
        raise ApplianceError(
            "cannot change the configuration",
            why=f"{path}: {error.strerror}",
            mend="run this as root on the machine where the appliance is installed",
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _refusal(holder: str) -> Conflict:
    return Conflict(
        "cannot change the configuration",
        why=f"another command is changing it ({holder})",
        mend="wait until it is done and try again",
    )
