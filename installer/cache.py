"""uv's cache, trusted only as far as it reached the disk.

uv doesn't wait for the disk. After a power cut its cache may hold files of the right length full of
nothing, which it links into an environment without looking. So a mark lies beside the cache while
uv writes; a mark from before a reboot means that the cache can't be trusted.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError
from installer.files import remove_tree, sync_directory, write_file

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def trusted_cache(cache: Path, *, boot_id: Path = _BOOT_ID) -> Iterator[Path]:
    """Use the cache; it is emptied first if the machine went down while it was last written to.

    A process that was merely killed leaves a good cache, so that going on is quick.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_name(f"{cache.name}.lock").open("w") as lock:
        # One at a time, also among threads: the mark is about the whole cache.
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = cache.with_name(f"{cache.name}.unsynced")
        now = boot_id.read_bytes()
        if mark.exists() and mark.read_bytes() != now:
            remove_tree(cache)
        cache.mkdir(exist_ok=True)
        write_file(mark, now)
        try:
            yield cache
        except ApplianceError:
            # What uv has kept is whole, whatever it could not get. With the mark, the next boot
            # would throw away all packages that are here, for a name that was misspelt.
            _settle(mark)
            raise
        _settle(mark)


def _settle(mark: Path) -> None:
    os.sync()
    mark.unlink()
    sync_directory(mark.parent)
