"""Packages' code that Python runs at its start: kept out of the way of whoever installs as root.

A wheel may bring lines that every start of an environment's Python runs (.pth files, and modules
such as sitecustomize), and uv starts it to learn what it is. So while uv works, these lie
elsewhere, and what is to be compiled is compiled by the system's Python, which looks at no
environment. Where the environment's own standard library is, is said by pyvenv.cfg: that isn't a
package's business.

Standard library only.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.errors import InstallError

_PATTERNS: Final = ("*.pth", "sitecustomize*", "usercustomize*")
_ASIDE: Final = ".startup"
_MARKER: Final = "pyvenv.cfg"
_COMPILE_SECONDS: Final = 1800


@contextmanager
def startup_code_aside(environment: Path) -> Iterator[None]:
    """Nothing that packages brought runs when the environment's Python is started inside.

    Raises InstallError if a package changed what that Python is.
    """
    marker = _read(environment / _MARKER)
    aside = environment / _ASIDE
    folders = sorted(environment.glob("lib/python3*/site-packages"))
    for folder in folders:
        _put_aside(folder, aside / folder.parent.name)
    try:
        yield
    finally:
        changed = _read(environment / _MARKER) != marker
        for folder in folders:
            _put_back(folder, aside / folder.parent.name)
        shutil.rmtree(aside, ignore_errors=True)
    if changed:
        raise InstallError(
            "a package can't be installed",
            why=f"it brings a {_MARKER}, by which other programs would take the place of Python's",
            mend="leave it out, and tell its authors",
        )


def compile_packages(environment: Path) -> None:
    """Compile what is new; what can't be compiled isn't needed compiled."""
    python = os.path.realpath(environment / "bin/python")
    folders = map(str, environment.glob("lib/python3*/site-packages"))
    subprocess.run(
        [python, "-I", "-S", "-m", "compileall", "-q", "-q", "-j", "0", *folders],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        check=False, timeout=_COMPILE_SECONDS,
    )  # fmt: skip


def _put_aside(folder: Path, aside: Path) -> None:
    """With a note of which of these belong to packages."""
    recorded = _recorded(folder)
    for place, is_packages in ((aside / "packages", True), (aside / "others", False)):
        place.mkdir(parents=True)
        for pattern in _PATTERNS:
            for path in folder.glob(pattern):
                if (path.name in recorded) is is_packages:
                    path.rename(place / path.name)


def _put_back(folder: Path, aside: Path) -> None:
    """But what came anew, and what belongs to a package that is gone."""
    recorded = _recorded(folder)
    for place, is_packages in ((aside / "packages", True), (aside / "others", False)):
        for path in place.iterdir():
            there = folder / path.name
            if not os.path.lexists(there) and (not is_packages or path.name in recorded):
                path.rename(there)


def _recorded(folder: Path) -> set[str]:
    """The first parts of all paths that packages say are theirs."""
    found = set()
    for record in folder.glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", errors="replace", newline="") as file:
            found |= {row[0].partition("/")[0] for row in csv.reader(file) if row}
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
