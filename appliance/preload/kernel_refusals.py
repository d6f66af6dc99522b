"""When a kernel must start cold: where a forked one would be another than a cold one.

A module that is imported already can't come from another place, and what Python reads when it
starts was read in the daemon's environment.
"""

from __future__ import annotations

import importlib.machinery
import locale
import os
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from .kernel_interpreter import user_site

LAUNCHER: Final = "ipykernel_launcher"
# Asked for at any time after the start, so their values count for forked kernels, too.
_HARMLESS: Final = ("PYTHONBREAKPOINT", "PYTHONSTARTUP")
# Read when Python or a package that kernels import is loaded, and never again.
_READ_ONCE: Final = re.compile(
    r"(PYTHON|LD_|MALLOC_|PANDAS_|NPY_|NUMPY_|OPENBLAS_(?!NUM_THREADS$)|PILLOW_|PYDEVD?_|DEBUGPY_"
    r"|TRAITLETS_|TORNADO_|PYZMQ_|GEVENT_)\w*"
    r"|GLIBC_TUNABLES|JUPYTER_ALLOW_INSECURE_WRITES|JUPYTER_PLATFORM_DIRS|JPY_INTERRUPT_EVENT"
)
_LOCALE_VARIABLES: Final = ("LC_ALL", "LC_CTYPE", "LANG")
# What setuptools and pip put there for packages that can be edited, or that share a name.
_KNOWN_PTH: Final = re.compile(r"distutils-precedence\.pth|__editable__.*\.pth|.*-nspkg\.pth")
_OPTIONS: Final = ("-Xfrozen_modules=off",)
_SUFFIXES: Final = tuple(importlib.machinery.all_suffixes())


def refuses(
    command: list[str],
    environ: Mapping[str, str],
    names: Collection[str],
    read: Collection[str] = (),
) -> str:
    """Why this kernel must start cold, "" if it need not.

    `names` are of what is preloaded, `read` are variables that it has read besides the known ones.
    """
    return (
        of_command(command) or of_environment(environ, read) or of_locale(environ)
        or of_home(environ) or of_directory(names)
    )  # fmt: skip


def of_command(command: list[str]) -> str:
    """Only what starts the environment's own kernel is the same as a forked one."""
    match command:
        case [executable, *options, "-m", module, "-f", _]:
            if executable != sys.executable:
                return "the kernel's Python is another one"
            if module != LAUNCHER or any(option not in _OPTIONS for option in options):
                return "the kernel's command is not the usual one"
            return ""
    return "the kernel's command is not the usual one"


def of_environment(environ: Mapping[str, str], read: Collection[str] = ()) -> str:
    for name, value in sorted(environ.items()):
        is_read = name in read or (name not in _HARMLESS and _READ_ONCE.fullmatch(name))
        if value and is_read:
            return f"{name} is set"
    return ""


def of_locale(environ: Mapping[str, str]) -> str:
    """Python takes its encodings from the locale when it starts, and mends the locale "C"."""
    if sys.flags.utf8_mode or sys.getfilesystemencoding() != "utf-8":
        return "the preload daemon has no UTF-8 locale"
    name = next((environ[key] for key in _LOCALE_VARIABLES if environ.get(key)), "")
    if not re.search(r"\.utf-?8(@|$)", name, re.IGNORECASE):
        return "the locale is not one of UTF-8"
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except locale.Error:
        return "the locale is not installed"
    return ""


def of_home(environ: Mapping[str, str]) -> str:
    """Code in ~/.local that Python runs before all else may change what is imported after it."""
    home = environ.get("HOME", "")
    if not home:
        return "HOME is not set"
    place = user_site(home)
    for name in _listing(place):
        if name.partition(".")[0] in ("usercustomize", "sitecustomize"):
            return f"{name} in the user's packages runs when Python starts"
        if name.endswith(".pth") and not _KNOWN_PTH.fullmatch(name) and _runs_code(place / name):
            return f"{name} in the user's packages runs code when Python starts"
    return ""


def of_directory(names: Collection[str]) -> str:
    """A file in the working directory that would be imported in place of a package."""
    try:
        folder = Path.cwd()
    except OSError:
        return "the working directory is gone"
    for name in shadows(folder, names):
        return f"{name} in the working directory hides a package"
    return ""


def shadows(folder: Path, names: Collection[str]) -> Iterable[str]:
    """What of that directory Python would import for one of these top-level names."""
    for entry in _listing(folder):
        stem, dot, _ = entry.partition(".")
        if stem not in names:
            continue
        if (dot and entry.removeprefix(stem) in _SUFFIXES) or (
            not dot and any((folder / entry / f"__init__{suffix}").exists() for suffix in _SUFFIXES)
        ):
            yield entry


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _runs_code(file: Path) -> bool:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith(("import ", "import\t")) for line in lines)
