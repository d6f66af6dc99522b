"""Whether root alone can change what a preload daemon imports, and whether somebody did.

The daemons run the users' environment as root, so whoever can write any of it would be root.
`check` goes through all of it once, before anything of it is run: every directory on the way to
it, every file and directory in it, what symbolic links and .pth files lead to, the interpreter, and
Jupyter's folders of settings. Extended access lists need no look of their own: Linux shows the most
that they grant in the group's bits of the mode. What is not seen is a file server that lets others
write.

As a script, `/usr/bin/python3 -I -S import_path.py ENVIRONMENT WORDS…` checks the environment and
then becomes its Python with those words. The check must not be done by the environment itself,
whose .pth files have run by then.

Standard library only, and little of it: the script runs at every start of a daemon.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

ENVIRONMENT: Final = "/opt/appliance/user"
"""The link that a newer installation points elsewhere."""

# Below the environment and below these, Jupyter and IPython look for settings, some of them Python.
_SYSTEM_FOLDERS: Final = (
    "/etc/jupyter",
    "/etc/ipython",
    "/usr/local/etc/jupyter",
    "/usr/local/etc/ipython",
    "/usr/local/share/jupyter",
    "/usr/share/jupyter",
)
# A daemon doesn't see what is in these, and so can't judge it; users' servers do see their own.
_HOMES: Final = frozenset({"/home", "/run/user"})
_OWN_FOLDERS: Final = ("etc/jupyter", "etc/ipython", "share/jupyter")

_LINKS_MAX: Final = 40
_TOLD_MAX: Final = 10
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
# sysexits.h; the units say RestartPreventExitStatus=78, and starting again would not help.
_EX_CONFIG: Final = 78


def check(paths: Sequence[str], *, prefix: str = "", owner: int = 0, top: str = "") -> list[str]:
    """What somebody other than root could change of what is imported from `paths`, a sentence each.

    `prefix` is the environment, by default the one that runs. `owner` and `top` are for tests:
    whose everything must be, and the directory that is trusted with all above it.
    """
    look = _Look(owner, top)
    for path in paths:
        if os.path.realpath(path or "/") == "/":
            look.add(f"{path or repr('')} is on the import path, which is too much to be checked")
            continue
        look.tree(path)
        look.lines(path)
    prefix = prefix or sys.prefix
    for file in (f"{prefix}/bin/python", f"{prefix}/pyvenv.cfg", sys.executable):
        look.way(file)
    for folder in settings_folders(prefix):
        look.tree(folder)
    return look.problems()


def check_ways(files: Iterable[str]) -> list[str]:
    """What somebody other than root could change of these files, or of the way to them."""
    look = _Look(0, "")
    for file in files:
        look.way(file)
    return look.problems()


def settings_folders(prefix: str) -> list[str]:
    """Where Jupyter and IPython look for what is everybody's."""
    return [*(f"{prefix}/{name}" for name in _OWN_FOLDERS), *_SYSTEM_FOLDERS]


class _Look:
    """One look at everything; each path is looked at once."""

    def __init__(self, owner: int, top: str) -> None:
        self._owner = owner
        self._trusted = frozenset(_upwards(os.path.realpath(top)) if top else ())
        self._seen: set[str] = set()
        self._walked: set[str] = set()
        self._found: list[str] = []

    def add(self, problem: str) -> None:
        if problem not in self._found:
            self._found.append(problem)

    def problems(self) -> list[str]:
        more = len(self._found) - _TOLD_MAX
        return self._found[:_TOLD_MAX] + ([f"and {more} more"] if more > 0 else [])

    def tree(self, path: str) -> None:
        """Look at a directory, or a file, and all that is in it and on the way to it."""
        real = self.way(path)
        if real is None or real in self._walked:
            return
        waiting = [real]
        while waiting:
            folder = waiting.pop()
            self._walked.add(folder)
            try:
                with os.scandir(folder) as entries:
                    waiting += filter(None, map(self._entry, entries))
            except NotADirectoryError:
                continue
            except OSError as err:
                self.add(f"cannot look into {folder}: {err.strerror}")

    def _entry(self, entry: os.DirEntry[str]) -> str | None:
        """Look at one; its path if it is a directory that must be looked into as well."""
        path = entry.path
        if entry.is_symlink():
            self.tree(path)
            return None
        self._judge(path, entry.stat(follow_symlinks=False))
        return path if entry.is_dir(follow_symlinks=False) and path not in self._walked else None

    def lines(self, folder: str) -> None:
        """Look at what .pth files of a directory add to the import path; see site's documentation.

        Their other lines are code, which is as good as the file that it is in.
        """
        for file in sorted(_pth_files(folder)):
            try:
                with open(file, "rb") as opened:
                    words = opened.read().splitlines()
            except OSError as err:
                self.add(f"cannot read {file}: {err.strerror}")
                continue
            for word in words:
                line = os.fsdecode(word.strip())
                if line and not line.startswith(("#", "import ", "import\t")) and "\0" not in line:
                    self.tree(os.path.join(folder, line))

    def way(self, path: str) -> str | None:
        """Look at everything on the way to a file, through its links; its real path.

        None if it is not there: then it is enough that nobody else can put it there.
        """
        waiting = [part for part in os.path.abspath(path).split("/") if part][::-1]
        here, links = "/", 0
        self._step("/")
        while waiting:
            part = waiting.pop()
            if part in (".", ".."):
                here = os.path.dirname(here) if part == ".." else here
                continue
            if here in _HOMES:
                self.add(f"{path} leads into {here}, where users write; mend it by taking it out")
                return None
            here = os.path.join(here, part)
            status = self._step(here)
            if status is None:
                return None
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _LINKS_MAX:
                    self.add(f"{path} has too many links on the way")
                    return None
                target = os.readlink(here)
                here = "/" if target.startswith("/") else os.path.dirname(here)
                waiting += [part for part in target.split("/") if part][::-1]
        return here

    def _step(self, path: str) -> os.stat_result | None:
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as err:
            self.add(f"cannot look at {path}: {err.strerror}")
            return None
        self._judge(path, status)
        return status

    def _judge(self, path: str, status: os.stat_result) -> None:
        is_link = stat.S_ISLNK(status.st_mode)
        if status.st_uid == self._owner and (is_link or not status.st_mode & _OTHERS_WRITE):
            return
        if path in self._seen or path in self._trusted:
            return
        self._seen.add(path)
        if status.st_uid != self._owner:
            self.add(f"{path} belongs to user id {status.st_uid}; mend it by chown -h root")
            return
        who, word = ("everybody", "o") if status.st_mode & stat.S_IWOTH else ("its group", "g")
        if who == "everybody" and status.st_mode & stat.S_IWGRP:
            word = "go"
        mode = stat.S_IMODE(status.st_mode)
        self.add(f"{path} can be changed by {who} (mode {mode:o}); mend it by chmod {word}-w")


def _upwards(path: str) -> Iterator[str]:
    """A path and all above it."""
    while True:
        yield path
        if path == "/":
            return
        path = os.path.dirname(path)


def _pth_files(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.path for entry in entries if entry.name.endswith(".pth"))
    except OSError:
        return


class Stamp:
    """What packages were there at a moment, told by a few dozen inodes and times.

    Whatever pip or uv installs, removes or replaces has a folder of its own beside the packages,
    which comes and goes with each version. A file that is edited in place is not noticed.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        # A link and what it leads to, each of which may change.
        pairs = ((path, os.path.realpath(path)) for path in paths)
        self._paths = tuple(dict.fromkeys(path for pair in pairs for path in pair))
        self._then = self._now()

    @classmethod
    def of(cls, paths: Sequence[str], *, prefix: str = "", link: str = ENVIRONMENT) -> Stamp:
        """The stamp of what is imported from `paths`, of the interpreter and Jupyter's settings."""
        prefix = prefix or sys.prefix
        watched = [link, *(path for path in paths if path), os.path.realpath(sys.executable)]
        watched.append(f"{prefix}/pyvenv.cfg")
        for folder in settings_folders(prefix):
            watched += [folder, *_inside(folder)]
        return cls(watched)

    def has_changed(self) -> bool:
        """Whether anything is otherwise now; takes some tens of microseconds."""
        return self._now() != self._then

    def _now(self) -> list[tuple[int, int, int] | None]:
        return [_identity(path) for path in self._paths]


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _inside(folder: str) -> list[str]:
    """What is in a folder of settings, and in its folders whose names end in .d."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.path for entry in entries)
    except OSError:
        return []
    return found + [inner for path in found if path.endswith(".d") for inner in _inside(path)]


def main(words: Sequence[str]) -> int:
    """Become the environment's Python, or return why not as an exit status."""
    environment, *rest = words
    # Its own place, and not the link: what is loaded later must be of the same installation.
    prefix = os.path.realpath(environment)
    libraries = f"{prefix}/lib"
    try:
        folders = [f"{libraries}/{name}/site-packages" for name in sorted(os.listdir(libraries))]
    except OSError as err:
        print(f"<3>cannot preload: {libraries}: {err.strerror}", file=sys.stderr)  # noqa: T201
        return _EX_CONFIG
    problems = check(folders, prefix=prefix)
    if not problems:
        python = f"{prefix}/bin/python"
        os.execv(python, [python, *rest])  # noqa: S606 - no shell is wanted
    # The last line is what people are shown first.
    said = f"others than root could change what it would run as root: {problems[0]}"
    for line in [*problems[1:], said]:
        print(f"<3>{line}", file=sys.stderr)  # noqa: T201
    return _EX_CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
