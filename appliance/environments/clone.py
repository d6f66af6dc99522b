"""A copy of an environment that takes no room: its files are links to the same ones.

Programs that install packages put new files in the place of old ones and never write into them, so
the original stays as it is. What holds the environment's own path is written anew: the scripts in
bin/, whose first line names the interpreter.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from appliance.environments.distributions import Distributions, site_packages
from installer.environments import COMPLETE

_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM})
# What is at the top of an environment is written in place by those who make them.
_OWN_FILES_DEPTH: Final = 0


def clone_tree(source: Path, target: Path) -> None:
    """Make `target` the same environment as `source`; raises OSError."""
    target.mkdir(parents=True)
    _clone(source, target, depth=0)
    move_scripts(target, source)


def _clone(source: Path, target: Path, *, depth: int) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            to = target / entry.name
            if entry.is_symlink():
                to.symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                to.mkdir()
                _clone(Path(entry.path), to, depth=depth + 1)
            elif depth > _OWN_FILES_DEPTH:
                link(Path(entry.path), to)
            elif entry.name != COMPLETE:
                shutil.copy2(entry.path, to)


def move_scripts(environment: Path, before: Path) -> None:
    """Let scripts in an environment's bin/ that name another's path name its own."""
    old, new = os.fsencode(before), os.fsencode(environment)
    for path in (environment / "bin").iterdir():
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if old not in content or b"\0" in content:
            continue
        mode = path.stat().st_mode
        path.unlink()
        path.write_bytes(content.replace(old, new))
        path.chmod(mode)


def link_distributions(source: Path, target: Path, names: Iterable[str]) -> None:
    """Put the named packages of one environment into another of the same Python."""
    here, there = site_packages(source), site_packages(target)
    found = Distributions.of(source)
    for name in names:
        for file in _files(found, name):
            path = Path(os.path.normpath(here / file))
            to = Path(os.path.normpath(there / file))
            if not path.is_relative_to(source) or not path.is_file() or to.exists():
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            link(path, to)
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.cpython-*.pyc"):
                beside = to.parent / "__pycache__" / compiled.name
                if path.suffix == ".py" and not beside.exists():
                    beside.parent.mkdir(exist_ok=True)
                    link(compiled, beside)
    move_scripts(target, source)


def _files(found: Distributions, name: str) -> Iterator[str]:
    one = found.get(name)
    yield from (str(file) for file in (one.files if one else None) or ())


def link(source: Path, target: Path) -> None:
    """Another name for the same file, or a copy where the file system can't have one."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copy2(source, target, follow_symlinks=False)
