"""Fill the holes in a template's memory, so that children begin with pages of their own.

Loading leaves holes all over the place: free blocks on pages that are otherwise full of what every
child shares. A child that puts a small new object into such a hole has the kernel copy the whole
page for it. With all holes taken, new objects lie close together on new pages. It costs the
template nothing, whose pages are there anyway.

It is done with what the two allocators tell about themselves, Python's for small blocks and the C
library's for all others; where they tell nothing, nothing is filled.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
from typing import Any, Final

# Of sys._debugmallocstats: class, size, pools, blocks in use, blocks to be had.
_ROW: Final = re.compile(r"\s*\d+\s+(\d+)\s+\d+\s+\d+\s+(\d+)\s*")
_BYTES_HEADER: Final = sys.getsizeof(b"")
_BIG_NUMBER: Final = 1 << 20

# Blocks for the C library, from large to its smallest.
_SIZES: Final = (
    *(size for power in range(20, 9, -1) for size in ((3 << power) // 2, 1 << power)),
    *(896, 768, 640, 576, 528, 400, 256, 128, 96, 64, 40, 24),
)

_kept: list[Any] = []


class _MallInfo(ctypes.Structure):
    """`struct mallinfo2` of mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks",
                     "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def fill_holes() -> None:
    """Take all free blocks for ever; call it last, when nothing will be freed any more."""
    gc.collect()
    _fill_small()
    _fill_large()


def _fill_small() -> None:
    for size, free in small_holes().items():
        if size >= _BYTES_HEADER:
            _kept.extend(bytes(size - _BYTES_HEADER) for _ in range(free))
        elif size > sys.getsizeof(object()):
            _kept.extend(range(_BIG_NUMBER, _BIG_NUMBER + free))
        else:
            _kept.extend(object() for _ in range(free))


def small_holes() -> dict[int, int]:
    """How many blocks of each size are free on pages in use, as Python's allocator reports it."""
    report = getattr(sys, "_debugmallocstats", None)
    if report is None:
        return {}
    # It writes to the C library's standard error.
    sys.stderr.flush()
    memory, before = os.memfd_create("report"), os.dup(2)
    try:
        os.dup2(memory, 2)
        report()
    finally:
        os.dup2(before, 2)
        os.close(before)
    with os.fdopen(memory, "r+b") as file:
        file.seek(0)
        lines = file.read().decode("ascii", "replace").splitlines()
    rows = (match for match in map(_ROW.fullmatch, lines) if match)
    return {int(row[1]): int(row[2]) for row in rows}


def _fill_large() -> None:
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return
    library.mallinfo2.restype = _MallInfo
    library.malloc.restype = ctypes.c_void_p
    library.malloc.argtypes = (ctypes.c_size_t,)
    library.free.argtypes = (ctypes.c_void_p,)
    for size in _SIZES:
        while True:
            before = library.mallinfo2()
            if before.fordblks - before.keepcost < size:
                break
            block = library.malloc(size)
            after = library.mallinfo2()
            # It came from the end of the heap, or from the kernel: there is no hole of this size.
            if after.keepcost < before.keepcost or after.hblks > before.hblks:
                library.free(block)
                break
