"""What Python keeps per process from its start, made as if this process had been started just now.

A forked kernel has Python's start behind it, in the daemon's environment and home. What a start
reads of the environment, the home and the working directory is read again here. Everything is told
by the difference to a cold kernel; tests compare the two field by field.

Runs as the user. The user's own code, in ~/.local, is run where Python would run it.
"""

from __future__ import annotations

import json
import locale
import logging
import os
import signal
import site
import subprocess
import sys
import tempfile
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .process_notes import renew_process_notes

# PEP 538's targets and their like: there Python is lenient with bytes that are no text.
_LENIENT_LOCALES: Final = ("C", "POSIX", "C.UTF-8", "C.utf8", "UTF-8")
_IGNORED_SIGNALS: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_ASK_SECONDS: Final = 30
_SHOW_PATH: Final = "import json, site, sys; print(json.dumps([site.USER_SITE, sys.path[1:]]))"


@dataclass(frozen=True, slots=True)
class ColdPath:
    """sys.path of a cold kernel, and where in it the packages of the user's home go."""

    before: tuple[str, ...]
    after: tuple[str, ...]


def ask_cold_path() -> ColdPath:
    """Ask a cold Python; raises OSError or ValueError if it gives no answer.

    The place depends on the environment: a virtual environment comes before ~/.local, the packages
    of the system come after it.
    """
    with tempfile.TemporaryDirectory(prefix="path-") as home:
        base = Path(home, ".local")
        place = site._get_path(str(base))  # type: ignore[attr-defined]  # noqa: SLF001 - no other name
        Path(place).mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", _SHOW_PATH],
            env={"HOME": home, "LANG": "C.UTF-8"}, cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, timeout=_ASK_SECONDS, check=False,
        )  # fmt: skip
        user_site, paths = json.loads(done.stdout)
    if site.ENABLE_USER_SITE and user_site not in paths:
        raise ValueError(f"{user_site} is not on its path")
    if user_site not in paths:
        return ColdPath(tuple(paths), ())
    index = paths.index(user_site)
    return ColdPath(tuple(paths[:index]), tuple(paths[index + 1 :]))


def begin_anew(command: list[str], cold_path: ColdPath) -> None:
    """Make this process look as if `command`, a Python with -m and a module, had started it."""
    _reset_signals()
    _take_locale()
    _reopen_standard_streams()
    renew_process_notes(os.getcwd())
    logging._startTime = time.time()  # type: ignore[attr-defined]  # noqa: SLF001
    _take_command(command)
    sys.path[:] = cold_path.before
    _add_user_site()
    sys.path.extend(path for path in cold_path.after if path not in sys.path)
    sys.path.insert(0, os.getcwd())
    sys.modules["__main__"] = types.ModuleType("__main__")


def user_site(home: str) -> Path:
    """Where packages are that somebody with this home has installed for themselves."""
    base = os.path.join(home, ".local")
    return Path(site._get_path(base))  # type: ignore[attr-defined]  # noqa: SLF001


def _reset_signals() -> None:
    signal.alarm(0)
    for number in signal.valid_signals():
        wanted: Any = signal.SIG_DFL
        if number == signal.SIGINT:
            wanted = signal.default_int_handler
        elif number in _IGNORED_SIGNALS:
            wanted = signal.SIG_IGN
        if signal.getsignal(number) is not wanted and number not in (
            signal.SIGKILL,
            signal.SIGSTOP,
        ):
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _take_locale() -> None:
    time.tzset()
    locale.setlocale(locale.LC_CTYPE, "")


def _reopen_standard_streams() -> None:
    lenient = locale.setlocale(locale.LC_CTYPE) in _LENIENT_LOCALES
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream: Any = getattr(sys, name)
        stream.buffer.raw.name = f"<{name}>"
        stream.mode = mode
        if name != "stderr":
            stream.reconfigure(errors="surrogateescape" if lenient else "strict")


def _take_command(command: list[str]) -> None:
    sys.orig_argv = list(command)
    module = command.index("-m")
    for option in command[1:module]:
        name, _, value = option.removeprefix("-X").partition("=")
        sys._xoptions[name] = value or True  # noqa: SLF001 - documented
    # runpy puts the module's file in place of the first.
    sys.argv = ["-m", *command[module + 2 :]]


def _add_user_site() -> None:
    site.USER_BASE = site.USER_SITE = None
    if site.ENABLE_USER_SITE:
        place = site.getusersitepackages()
        if os.path.isdir(place):
            site.addsitedir(place)
