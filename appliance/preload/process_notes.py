"""What the standard library notes about a process and its surroundings, and keeps for ever."""

from __future__ import annotations

import multiprocessing.process
import os
import platform
import sysconfig
import tempfile
from typing import Final

_AUTHKEY_BYTES: Final = 32


def renew_process_notes(folder: str) -> None:
    """Have it noted anew, or found when asked for; `folder` is where the process was started."""
    # Whoever knows this key can make a multiprocessing.Listener of this process run code.
    multiprocessing.process.current_process().authkey = os.urandom(_AUTHKEY_BYTES)
    multiprocessing.process.ORIGINAL_DIR = folder  # type: ignore[attr-defined]
    tempfile.tempdir = None
    tempfile._name_sequence = None  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
    platform._uname_cache = None  # type: ignore[attr-defined]  # noqa: SLF001
    variables = sysconfig._CONFIG_VARS  # type: ignore[attr-defined]  # noqa: SLF001
    if variables:
        variables["userbase"] = sysconfig._getuserbase()  # type: ignore[attr-defined]  # noqa: SLF001
