"""While root imports: nothing is run that comes from another place than those that were looked at.

The import path isn't the only way to a module. Packages that are installed as editable bring
finders of their own, which know folders that no .pth file names.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .import_path import check_ways


class _Guard:
    """Stands before the other finders, asks them, and looks at their answer."""

    def __init__(self, looked_at: Iterable[str]) -> None:
        places = {place for path in looked_at for place in (path, os.path.realpath(path))}
        self._places = tuple(f"{place}/" for place in places if place not in ("", "/"))

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for finder in sys.meta_path:
            find: Any = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = (
                find(name, path, target) if find and finder is not self else None
            )
            if spec is not None:
                self._look(spec)
                return spec
        return None

    def _look(self, spec: ModuleSpec) -> None:
        files = [spec.origin, spec.cached] if spec.has_location else []
        unknown = [file for file in files if file and not file.startswith(self._places)]
        problems = check_ways(unknown)
        if problems:
            raise ImportError(f"others could change it: {problems[0]}", name=spec.name)


@contextlib.contextmanager
def importing_from(paths: Iterable[str]) -> Iterator[None]:
    """In the block an import fails with ImportError if others than root could change its file.

    `paths` were looked at with all that is in them.
    """
    guard = _Guard(paths)
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
