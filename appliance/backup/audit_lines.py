"""The audit log survives a restore: no line of this machine's is lost, none of the old one's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_CURRENT: Final = "audit.jsonl"
_PATTERN: Final = "audit*.jsonl"


def carry_over(live: Path, staged: Path, *, owner: tuple[int, int] | None) -> None:
    """Make the log in `staged` hold what is in `live`, too.

    On the machine of the backup, what is there is the same log, only longer: it takes its place. On
    another one its lines are added at the end.
    """
    if staged.is_symlink():
        # The account whose log it is could have put a link there, and root writes here.
        staged.unlink()
    mine = [] if live.is_symlink() else audit_files(live)
    if not mine:
        return
    theirs = audit_files(staged)
    if not theirs or _first_line(mine) == _first_line(theirs) or _holds(mine, theirs):
        staged.mkdir(mode=0o700, exist_ok=True)
        for file in staged.glob(_PATTERN):
            file.unlink()
        for file in mine:
            _write(staged / file.name, os.O_EXCL, file)
    else:
        _write(staged / _CURRENT, os.O_APPEND, *mine)
    for path in (staged, *audit_files(staged)):
        path.chmod(0o700 if path.is_dir() else 0o600)
        if owner is not None and os.geteuid() == 0:
            os.chown(path, *owner, follow_symlinks=False)


def _write(target: Path, flag: int, *sources: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flag, 0o600)
    with os.fdopen(descriptor, "wb") as end:
        for source in sources:
            end.write(_content(source))


def audit_files(folder: Path) -> list[Path]:
    """Oldest first: audit.9.jsonl … audit.1.jsonl, audit.jsonl."""
    found = [path for path in folder.glob(_PATTERN) if path.is_file() and not path.is_symlink()]
    return sorted(found, key=lambda path: (path.name == _CURRENT, -_number(path)))


def _number(path: Path) -> int:
    word = path.name.removeprefix("audit.").removesuffix("jsonl").strip(".")
    return int(word) if word.isdigit() else 0


def _first_line(files: list[Path]) -> bytes:
    return _content(files[0]).partition(b"\n")[0]


def _holds(mine: list[Path], theirs: list[Path]) -> bool:
    """Whether the last line of the backup's log is in this machine's: it has rotated since."""
    lines = _content(theirs[-1]).splitlines()
    return bool(lines) and any(lines[-1] in _content(file).splitlines() for file in mine)


def _content(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()
