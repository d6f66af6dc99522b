"""Modules, and the names of their files, side by side in memory.

ipykernel looks at every imported module when it starts, and so does Python for each traceback. To
look at an object is to count a reference, which is to write to its page, and the kernel copies the
page: with pandas imported, 1400 pages for 200 KB of objects that lie here and there. Side by side
they are on fifty pages.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any, Final

# Of modules; those beyond are made where there is room.
_ROOM: Final = 3000


@contextlib.contextmanager
def modules_side_by_side() -> Iterator[None]:
    """Modules that are imported in the block are next to each other."""
    bootstrap: Any = importlib._bootstrap  # noqa: SLF001
    found = getattr(bootstrap, "_new_module", None)
    if found is None:
        yield
        return
    made = [types.ModuleType("") for _ in range(_ROOM)]

    def new_module(name: str) -> types.ModuleType:
        if not made:
            return types.ModuleType(name)
        module = made.pop()
        # As if it were new: this sets all that a new one has.
        types.ModuleType.__init__(module, name)
        return module

    bootstrap._new_module = new_module  # noqa: SLF001
    try:
        yield
    finally:
        bootstrap._new_module = found  # noqa: SLF001


def put_files_side_by_side() -> None:
    """Copy what modules have as `__file__`; call it when there are no holes left to fill."""
    for module in list(sys.modules.values()):
        names = getattr(module, "__dict__", {})
        file = names.get("__file__")
        if type(file) is str and file:
            names["__file__"] = file[:1] + file[1:]
