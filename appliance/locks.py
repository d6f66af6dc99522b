"""Locks that one program at a time holds, and that end with it, however it ends.

Whoever holds one writes its process id into the file, so that who comes second can say whom to wait
for. bootstrap.py takes the installer's lock by code of its own: it is one file, and runs before
there is anything to import. The standard library is enough, for the installer runs this from the
wheel.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

_AGAIN_SECONDS: Final = 0.05


@contextmanager
def held(path: Path, refusal: Callable[[str], Exception], *, seconds: float = 0) -> Iterator[None]:
    """Hold the lock meanwhile; raises what `take_lock` does."""
    descriptor = take_lock(path, refusal, seconds=seconds)
    try:
        yield
    finally:
        os.close(descriptor)


def take_lock(path: Path, refusal: Callable[[str], Exception], *, seconds: float = 0) -> int:
    """The descriptor that holds the lock until it is closed.

    Raises what `refusal` makes of the holder, such as "process 123", if somebody has had the lock
    for `seconds`; OSError if the file can't be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with ExitStack() as on_failure:
        on_failure.callback(os.close, descriptor)
        until = time.monotonic() + seconds
        while not _try_to_lock(descriptor):
            if time.monotonic() >= until:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise refusal(f"process {holder or 'unknown'}")
            time.sleep(_AGAIN_SECONDS)
        # On a full disk the lock itself holds all the same.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        on_failure.pop_all()
    return descriptor


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_to_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_to_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
